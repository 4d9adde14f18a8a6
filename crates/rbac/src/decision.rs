//! What was decided and why. The reason is for administrators and for the audit log; a denied caller never sees it.

use std::{fmt, sync::Arc};

use crate::{family::Family, principal::Principal};

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// Whether it may be done.
    pub allowed: bool,
    /// Why. Never shown to a denied caller.
    pub reason: Reason,
}

/// Why it was decided so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// This place of a role allows it, and nothing denies it.
    Allowed(Source),
    /// This place of a role denies it.
    Denied(Source),
    /// No role allows it.
    NoneAllowed {
        /// What was asked for, in words.
        asked: String,
        /// The roles that the caller holds.
        roles: Vec<Arc<str>>,
    },
}

/// A place of a role, and what it did there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name of the role.
    pub role: Arc<str>,
    /// Where in its `spec`.
    pub place: Place,
    /// Why it counts although it does not plainly match: a condition that could not be evaluated.
    pub because: Option<String>,
}

/// Whether a place is below `allow` or below `deny`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// `spec.allow`
    Allow,
    /// `spec.deny`
    Deny,
}

/// A place in the `spec` of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A rule, by its index.
    Rule(Side, usize),
    /// The label selector or the label expression of a family.
    Labels(Side, Family),
    /// A list of principals.
    Principal(Side, Principal),
    /// Any other list, by its path: `impersonate.roles`.
    List(Side, &'static str),
    /// An entry of any other list, by its path and its index: `spiffe[0]`.
    Entry(Side, &'static str, usize),
    /// An option.
    Option(&'static str),
}

impl Place {
    /// The side that the place is on; an option is on none.
    #[must_use]
    pub const fn side(&self) -> Option<Side> {
        match self {
            Self::Rule(side, _)
            | Self::Labels(side, _)
            | Self::Principal(side, _)
            | Self::List(side, _)
            | Self::Entry(side, _, _) => Some(*side),
            Self::Option(_) => None,
        }
    }
}

impl Decision {
    pub(crate) const fn allow(source: Source) -> Self {
        Self { allowed: true, reason: Reason::Allowed(source) }
    }

    pub(crate) const fn deny(source: Source) -> Self {
        Self { allowed: false, reason: Reason::Denied(source) }
    }

    /// The decision as a result.
    ///
    /// # Errors
    /// The reason, when it was denied.
    pub fn into_result(self) -> Result<(), Reason> {
        if self.allowed { Ok(()) } else { Err(self.reason) }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(side, index) => write!(f, "spec.{side}.rules[{index}]"),
            Self::Labels(side, family) => write!(f, "spec.{side}.{family}_labels"),
            Self::Principal(side, principal) => write!(f, "spec.{side}.{principal}"),
            Self::List(side, path) => write!(f, "spec.{side}.{path}"),
            Self::Entry(side, path, index) => write!(f, "spec.{side}.{path}[{index}]"),
            Self::Option(name) => write!(f, "spec.options.{name}"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "role {:?}, {}", self.role, self.place)?;
        self.because.as_ref().map_or(Ok(()), |because| write!(f, " ({because})"))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed(source) => write!(f, "allowed by {source}"),
            Self::Denied(source) => write!(f, "denied by {source}"),
            Self::NoneAllowed { asked, roles } if roles.is_empty() => {
                write!(f, "{asked} is not allowed: the caller holds no role")
            }
            Self::NoneAllowed { asked, roles } => {
                write!(f, "{asked} is not allowed by any of the roles {}", roles.join(", "))
            }
        }
    }
}
