//! What each role contributes to a decision, for `tctl access explain`.

use std::{fmt, sync::Arc};

use crate::{
    decision::{Decision, Place, Side},
    expand::Outcome,
};

/// A decision with everything that went into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// What each role has to do with it, in the order of the roles; a role that says nothing has one entry.
    pub contributions: Vec<Contribution>,
}

/// What one place of a role contributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    /// The name of the role.
    pub role: Arc<str>,
    /// Where in the role; none when the role says nothing about the question.
    pub place: Option<Place>,
    /// What it does.
    pub effect: Effect,
}

/// What a place of a role does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It allows.
    Allows,
    /// It denies.
    Denies,
    /// Its labels or its condition do not fit.
    DoesNotApply,
    /// It cannot be told whether it fits, so it does not allow.
    CannotAllow(String),
    /// It cannot be told whether it fits, so it denies.
    DeniesUnknown(String),
    /// The role says nothing about it.
    Nothing,
}

impl Effect {
    pub(crate) fn of(side: Side, outcome: Outcome) -> Self {
        match (side, outcome) {
            (Side::Allow, Outcome::Yes) => Self::Allows,
            (Side::Deny, Outcome::Yes) => Self::Denies,
            (_, Outcome::No) => Self::DoesNotApply,
            (Side::Allow, Outcome::Unknown(why)) => Self::CannotAllow(why),
            (Side::Deny, Outcome::Unknown(why)) => Self::DeniesUnknown(why),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allows => f.write_str("allows"),
            Self::Denies => f.write_str("denies"),
            Self::DoesNotApply => f.write_str("does not apply"),
            Self::CannotAllow(why) => write!(f, "does not allow: {why}"),
            Self::DeniesUnknown(why) => write!(f, "denies: {why}"),
            Self::Nothing => f.write_str("says nothing about it"),
        }
    }
}

impl fmt::Display for Contribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "role {:?}, {place}: {}", self.role, self.effect),
            None => write!(f, "role {:?}: {}", self.role, self.effect),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", if self.decision.allowed { "allowed" } else { "denied" }, self.decision.reason)?;
        self.contributions.iter().try_for_each(|contribution| writeln!(f, "  {contribution}"))
    }
}
