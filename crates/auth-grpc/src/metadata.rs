//! The headers beside the messages: the caller's version, ours, and our time.

use clock::Timestamp;
use http::{HeaderMap, HeaderValue};

/// The API version that this server speaks; official clients filter lists again on their side when it is missing or below 16.
pub const API_VERSION: &str = "18.0.0";

/// Carries the server's time in milliseconds since 1970, so that tools can tell a user how wrong their clock is.
pub const SERVER_TIME: &str = "tessera-server-time";

/// What the caller's `version` header says; absent from programs that do not use the official library.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientVersion {
    /// Major, minor, patch.
    pub number: Option<(u16, u16, u16)>,
    /// A pre-release, such as `18.0.0-dev`: older than the number says.
    pub is_pre_release: bool,
}

impl ClientVersion {
    /// Reads the header; what is not a version is taken for none.
    pub fn read(headers: &HeaderMap) -> Self {
        headers.get("version").and_then(|value| value.to_str().ok()).and_then(Self::parse).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start_matches('v');
        let (core, rest) = text.split_once(['-', '+']).unwrap_or((text, ""));
        let mut parts = core.splitn(3, '.').map(|part| part.parse::<u16>().ok());
        let number = (parts.next()??, parts.next()??, parts.next()??);
        Some(Self { number: Some(number), is_pre_release: !rest.is_empty() && text.contains('-') })
    }

    /// Whether this caller knows role version `v8`: the pinned official library refuses it.
    pub fn knows_role_v8(self) -> bool {
        self.number.is_none_or(|number| number > (18, 0, 0) || (number == (18, 0, 0) && !self.is_pre_release))
    }
}

/// Writes our headers into a response.
pub(crate) fn stamp(headers: &mut HeaderMap, now: Timestamp) {
    headers.insert("version", HeaderValue::from_static(API_VERSION));
    if let Ok(value) = HeaderValue::from_str(&now.as_millisecond().to_string()) {
        headers.insert(SERVER_TIME, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_development_client_does_not_know_role_v8() {
        for (text, knows) in [
            ("18.0.0-dev", false),
            ("18.0.0", true),
            ("18.2.1", true),
            ("17.9.9", false),
            ("v19.0.0-dev", true),
            ("x", true),
        ] {
            let version = ClientVersion::parse(text).unwrap_or_default();
            assert_eq!(version.knows_role_v8(), knows, "{text}");
        }
    }
}
