//! What can be done with a resource, and sets of it.

use std::fmt;

/// A verb of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Verb {
    /// See which there are.
    List,
    /// Make one.
    Create,
    /// Read one with its secrets.
    Read,
    /// Read one without its secrets.
    ReadNoSecrets,
    /// Change one.
    Update,
    /// Remove one.
    Delete,
    /// Rotate a certificate authority.
    Rotate,
    /// Use one, for instance an integration.
    Use,
    /// Enrol a device.
    Enroll,
    /// Make a token to enrol a device with.
    CreateEnrollToken,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 10] = [
        Self::List,
        Self::Create,
        Self::Read,
        Self::ReadNoSecrets,
        Self::Update,
        Self::Delete,
        Self::Rotate,
        Self::Use,
        Self::Enroll,
        Self::CreateEnrollToken,
    ];

    /// The verb as rules write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "create",
            Self::Read => "read",
            Self::ReadNoSecrets => "readnosecrets",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Rotate => "rotate",
            Self::Use => "use",
            Self::Enroll => "enroll",
            Self::CreateEnrollToken => "create_enroll_token",
        }
    }

    /// Reads a verb. `*` is none: it is all of them, see [`Verbs::parse`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == word)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of verbs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verbs(u16);

impl Verbs {
    /// All verbs: `*`.
    pub const ALL: Self = Self((1 << Verb::ALL.len()) - 1);

    /// Reads the verbs of a rule; words that are no verb are left out.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        words.into_iter().fold(Self::default(), |set, word| match Verb::parse(word) {
            Some(verb) => set.with(verb),
            None if word == "*" => Self::ALL,
            None => set,
        })
    }

    /// The set with one verb more.
    #[must_use]
    pub const fn with(self, verb: Verb) -> Self {
        Self(self.0 | 1 << verb as u8)
    }

    const fn has(self, verb: Verb) -> bool {
        self.0 & (1 << verb as u8) != 0
    }

    /// Whether a rule with these verbs allows this one: who may read secrets may read the rest.
    #[must_use]
    pub const fn allow(self, verb: Verb) -> bool {
        self.has(verb) || matches!(verb, Verb::ReadNoSecrets) && self.has(Verb::Read)
    }

    /// Whether a rule with these verbs denies this one. Besides itself: reading with secrets contains reading without
    /// them, so whatever denies one of the two denies the larger, and `read` denies both.
    #[must_use]
    pub const fn deny(self, verb: Verb) -> bool {
        self.allow(verb) || matches!(verb, Verb::Read) && self.has(Verb::ReadNoSecrets)
    }
}
