//! Why there is no connection, in words for the person who has to do something about it.

use std::{error::Error as StdError, io, time::Duration};

use crypto::tls::AUTH_SERVER_NAME;
use domain::error::{Error, Kind, Reason};

/// Why no connection to the auth service could be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// No address to dial.
    #[error("no address of an auth server is configured")]
    NoAddress,
    /// The credentials cannot be used for TLS.
    #[error("the credentials cannot be used: {reason}")]
    Credentials {
        /// What is wrong with them.
        reason: String,
    },
    /// Nobody answers there, or not in our language.
    #[error("cannot reach the auth service at {address}: {reason}")]
    Unreachable {
        /// The address that was dialled.
        address: String,
        /// The operating system's or the protocol's reason.
        reason: String,
    },
    /// The server's certificate is not one we trust.
    #[error("the server at {address} is not trusted: {reason}")]
    Untrusted {
        /// The address that was dialled.
        address: String,
        /// Why.
        reason: String,
        /// Time mends it, or whoever puts a clock right: it is asked for again as when nobody answers.
        passes: bool,
    },
    /// The server refused our certificate during the handshake.
    #[error("auth API: access denied: the server at {address} refused our certificate: {reason}")]
    Refused {
        /// The address that was dialled.
        address: String,
        /// The alert that it sent.
        reason: String,
        /// What the alert means for a program, when it says.
        why: Option<Reason>,
    },
}

impl ConnectError {
    /// The kind that this is in the closed list.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoAddress | Self::Credentials { .. } => Kind::Invalid,
            Self::Unreachable { .. } | Self::Untrusted { passes: true, .. } => Kind::Unavailable,
            Self::Untrusted { .. } | Self::Refused { .. } => Kind::Denied,
        }
    }

    /// Sorts what the operating system, TLS or HTTP/2 said.
    pub(crate) fn from_io(address: &str, error: &(dyn StdError + 'static)) -> Self {
        let (address, text) = (address.to_owned(), chain(error));
        if let Some(tls) = find_tls(error) {
            return match tls {
                rustls::Error::AlertReceived(alert) => Self::refused(address, &format!("{alert:?}")),
                rustls::Error::InvalidCertificate(problem) => {
                    Self::Untrusted { address, reason: describe_certificate(problem), passes: is_of_time(problem) }
                }
                rustls::Error::General(reason) => Self::Untrusted { address, reason: reason.clone(), passes: false },
                rustls::Error::InvalidMessage(_) => {
                    let reason = "what answers there speaks no TLS; is it a plain HTTP port?".to_owned();
                    Self::Unreachable { address, reason }
                }
                _ => Self::Unreachable { address, reason: text },
            };
        }
        // HTTP/2 keeps only the words of an I/O error, so an alert that arrives after the handshake is read from them.
        match text.split_once("received fatal alert: ") {
            Some((_, alert)) => Self::refused(address, alert),
            None => Self::Unreachable { address, reason: text },
        }
    }

    /// What the name of a TLS alert says about our certificate.
    fn refused(address: String, alert: &str) -> Self {
        let name = alert.split([' ', ':', '"']).next().unwrap_or(alert);
        let (meaning, why) = match name {
            "CertificateExpired" => ("the identity has expired", Some(Reason::Expired)),
            "UnknownCA" => {
                let meaning = "it was issued by another cluster, or its authority is no longer trusted";
                (meaning, Some(Reason::UntrustedCertificate))
            }
            "CertificateRevoked" | "AccessDenied" => ("it is locked or revoked", Some(Reason::Locked)),
            // Servers in other languages say no more of an expired one. Taken for expired, it is shown in the grace next,
            // where a refusal is told with its reason.
            "BadCertificate" | "CertificateUnknown" => {
                let meaning = "tls: bad certificate; it has expired or belongs to another cluster";
                (meaning, Some(Reason::Expired))
            }
            "NoApplicationProtocol" => {
                ("it does not speak this protocol; is this the address of the auth service?", None)
            }
            _ => ("the handshake was ended", None),
        };
        Self::Refused { address, reason: format!("{meaning} (alert {name})"), why }
    }

    /// What a program can do about it.
    const fn why(&self) -> Option<Reason> {
        match self {
            Self::Untrusted { passes: false, .. } => Some(Reason::UntrustedServer),
            Self::Refused { why, .. } => *why,
            _ => None,
        }
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        Self { reason: error.why(), ..Self::new(error.kind(), error.to_string()) }
    }
}

/// The sentence that a call which took too long ends in.
pub(crate) fn late(what: &str, span: Duration) -> Error {
    Error::unavailable(format!("{what} was not answered within {} s", span.as_secs()))
}

fn find_tls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The whole chain on one line, each part once.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = error.source();
    }
    text
}

/// The clocks disagree, or nobody has renewed it yet.
fn is_of_time(problem: &rustls::CertificateError) -> bool {
    use rustls::CertificateError as Problem;
    matches!(
        problem,
        Problem::NotValidYet | Problem::NotValidYetContext { .. } | Problem::Expired | Problem::ExpiredContext { .. }
    )
}

fn describe_certificate(problem: &rustls::CertificateError) -> String {
    use rustls::CertificateError as Problem;
    match problem {
        Problem::UnknownIssuer => {
            "its certificate was issued by an authority that we do not know; is it of another cluster? Who has no identity \
             yet needs the cluster's pin: --ca-pin, or ca_pins (tbot) or ca_pin (tessera) in the file; tctl status shows it"
                .into()
        }
        Problem::NotValidYet | Problem::NotValidYetContext { .. } => {
            "its certificate is not valid yet; is your clock behind?".into()
        }
        Problem::Expired | Problem::ExpiredContext { .. } => "its certificate has expired; is your clock ahead?".into(),
        Problem::NotValidForNameContext { expected, .. } if expected.to_str().ends_with(AUTH_SERVER_NAME) => {
            "its certificate is not that of an auth server; is this the address of the auth service?".into()
        }
        Problem::NotValidForNameContext { expected, presented } => {
            // They come as the library writes them: `DnsName("proxy.example")`.
            let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
            let names: Vec<String> = presented.iter().map(bare).collect();
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            format!("its certificate is for {names} and not for {}", expected.to_str())
        }
        Problem::NotValidForName => "its certificate is for another name".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tls_says_is_sorted_into_what_a_person_can_do() {
        let io = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let refused = ConnectError::from_io(
            "a:1",
            &io(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired)),
        );
        assert_eq!(refused.kind(), Kind::Denied);
        assert!(refused.to_string().contains("expired"), "{refused}");
        assert_eq!(Error::from(refused).reason, Some(Reason::Expired));
        let untrusted = ConnectError::from_io(
            "a:1",
            &io(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)),
        );
        assert!(matches!(untrusted, ConnectError::Untrusted { .. }), "{untrusted:?}");
        assert_eq!(Error::from(untrusted).reason, Some(Reason::UntrustedServer));
        for problem in [rustls::CertificateError::NotValidYet, rustls::CertificateError::Expired] {
            let passes = ConnectError::from_io("a:1", &io(rustls::Error::InvalidCertificate(problem)));
            assert!(passes.to_string().contains("is your clock"), "{passes}");
            assert_eq!((passes.kind(), Error::from(passes).reason), (Kind::Unavailable, None));
        }
        for (expected, says) in [
            ("abcd.teleport.cluster.local", "is not that of an auth server"),
            ("app.example", "is for proxy.example, *.proxy.example and not for app.example"),
        ] {
            let problem = rustls::CertificateError::NotValidForNameContext {
                expected: expected.try_into().unwrap(),
                presented: ["proxy.example", "*.proxy.example"].map(|name| format!("DnsName({name:?})")).into(),
            };
            let other = ConnectError::from_io("a:1", &io(rustls::Error::InvalidCertificate(problem)));
            assert!(other.to_string().contains(says), "{other}");
        }
        let plain = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        let plain = ConnectError::from_io("a:1", &io(plain));
        assert!(plain.to_string().contains("speaks no TLS"), "{plain}");
        assert_eq!(plain.kind(), Kind::Unavailable);
        let gone = ConnectError::from_io("a:1", &io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!((gone.kind(), Error::from(gone.clone()).reason), (Kind::Unavailable, None));
        let late_alert = ConnectError::from_io("a:1", &io::Error::other("x: received fatal alert: UnknownCA"));
        assert_eq!(Error::from(late_alert).reason, Some(Reason::UntrustedCertificate));
    }
}
