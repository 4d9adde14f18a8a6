//! SPIFFE IDs, trust domains, bundles: parse and render only.
//!
//! The rules are those of the SPIFFE-ID standard, byte for byte: nothing is normalised, so two IDs are the same exactly
//! when their texts are (one exception, demanded by the standard: the scheme is read in any case and written in lower).

use std::fmt;
use std::str::FromStr;

/// The longest SPIFFE ID that must be accepted and may be made (SPIFFE-ID §2.3).
pub const LONGEST_ID: usize = 2048;

/// The longest trust domain (SPIFFE-ID §2.3).
pub const LONGEST_TRUST_DOMAIN: usize = 255;

const SCHEME: &str = "spiffe://";

/// Why a text is not a SPIFFE ID, a trust domain or a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Empty text.
    #[error("a SPIFFE ID must not be empty")]
    Empty,
    /// Not `spiffe://`.
    #[error("a SPIFFE ID must begin with spiffe://")]
    Scheme,
    /// More than [`LONGEST_ID`] bytes.
    #[error("a SPIFFE ID must not be longer than 2048 bytes")]
    TooLong,
    /// No trust domain.
    #[error("the trust domain must not be empty")]
    NoTrustDomain,
    /// More than [`LONGEST_TRUST_DOMAIN`] bytes.
    #[error("the trust domain must not be longer than 255 bytes")]
    TrustDomainTooLong,
    /// Capitals, ports, user names, percent encoding and all else.
    #[error("the trust domain may hold only lower-case letters, digits, dots, dashes and underscores")]
    TrustDomainCharacter,
    /// A path that does not begin with a slash.
    #[error("the path must begin with /")]
    PathStart,
    /// `//` or a slash at the end.
    #[error("the path must not have an empty segment or end with /")]
    EmptySegment,
    /// `.` or `..`
    #[error("the path must not have the segments . or ..")]
    DotSegment,
    /// Query, fragment, percent encoding and all else.
    #[error("the path may hold only letters, digits, dots, dashes, underscores and slashes")]
    PathCharacter,
}

/// A trust domain: who vouches for an identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Reads a bare trust domain name, such as `example.org`.
    ///
    /// # Errors
    /// [`Error`]
    pub fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "" => Err(Error::NoTrustDomain),
            _ if name.len() > LONGEST_TRUST_DOMAIN => Err(Error::TrustDomainTooLong),
            _ if !name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_')) => {
                Err(Error::TrustDomainCharacter)
            }
            _ => Ok(Self(name.to_owned())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ID of the trust domain itself: no path.
    pub fn id(&self) -> SpiffeId {
        SpiffeId { trust_domain: self.clone(), path: String::new() }
    }

    /// The ID with this path, which begins with a slash.
    ///
    /// # Errors
    /// [`Error`]
    pub fn with_path(&self, path: &str) -> Result<SpiffeId, Error> {
        check_path(path)?;
        if SCHEME.len() + self.0.len() + path.len() > LONGEST_ID {
            return Err(Error::TooLong);
        }
        Ok(SpiffeId { trust_domain: self.clone(), path: path.to_owned() })
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

/// A SPIFFE ID: a trust domain and a path, which is empty for the trust domain itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    trust_domain: TrustDomain,
    path: String,
}

impl SpiffeId {
    /// Reads `spiffe://<trust domain>[/<path>]`.
    ///
    /// # Errors
    /// [`Error`]
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.len() > LONGEST_ID {
            return Err(Error::TooLong);
        }
        let (scheme, rest) = text.split_at_checked(SCHEME.len()).ok_or(Error::Scheme)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(Error::Scheme);
        }
        let (trust_domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let trust_domain = TrustDomain::parse(trust_domain)?;
        if !path.is_empty() {
            check_path(path)?;
        }
        Ok(Self { trust_domain, path: path.to_owned() })
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path with its leading slash; empty for the trust domain itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether this names a workload, not a trust domain: an X.509-SVID needs a path.
    pub fn has_path(&self) -> bool {
        !self.path.is_empty()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.trust_domain, self.path)
    }
}

impl FromStr for SpiffeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

/// Checks a path: it begins with a slash, and each segment is made of `[A-Za-z0-9._-]`, neither empty, `.` nor `..`.
///
/// # Errors
/// [`Error`]
pub fn check_path(path: &str) -> Result<(), Error> {
    let segments = path.strip_prefix('/').ok_or(Error::PathStart)?;
    for segment in segments.split('/') {
        match segment {
            "" => return Err(Error::EmptySegment),
            "." | ".." => return Err(Error::DotSegment),
            _ if !segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')) => {
                return Err(Error::PathCharacter);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
