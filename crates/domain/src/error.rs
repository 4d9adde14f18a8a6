//! The closed list of error kinds, and the error that use cases return to a person.

use std::fmt;

/// What went wrong, as far as a caller can act on it. `api::status` is the only place that maps it to a status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The thing asked for does not exist, or the caller may not know that it does.
    NotFound,
    /// A thing of this name exists already.
    AlreadyExists,
    /// The thing changed since it was read, or its state does not allow this.
    Conflict,
    /// The caller may not do this.
    Denied,
    /// The request makes no sense; sending it again will not help.
    Invalid,
    /// A limit was reached; later it may work.
    Limit,
    /// This server does not do this.
    Unsupported,
    /// The server cannot answer now; asking again is right.
    Unavailable,
    /// A defect of the server.
    Internal,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::Denied,
        Self::Invalid,
        Self::Limit,
        Self::Unsupported,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Whether a server that was asked if something is so has not said it by this: what was last known is not wrong by it.
    #[must_use]
    pub const fn is_silence(self) -> bool {
        matches!(self, Self::Unavailable | Self::Internal | Self::Limit)
    }

    /// The kind as words, for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Limit => "limit",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])+ $name:ident = $code:literal),+ $(,)?) => {
        /// Why a request was refused, as far as a program acts on it; the words of a message are for people and may change.
        ///
        /// A reason tells no more than the message beside it: whoever may not know why gets none. Codes travel between
        /// versions, so one that was given never changes; an unknown one is no reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])+ $name,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The reason as programs exchange it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// Reads a code.
            #[must_use]
            pub fn parse(code: &str) -> Option<Self> {
                Self::ALL.iter().find(|reason| reason.as_str() == code).copied()
            }
        }
    };
}

reasons! {
    /// The presented certificate has ended.
    Expired = "expired",
    /// The presented certificate ended longer ago than a renewal within the grace accepts.
    GraceOver = "grace_over",
    /// A lock is in force, or locks cannot be known and must be.
    Locked = "locked",
    /// The certificate is older than the newest one of its instance: a copy of it is in use.
    GenerationMismatch = "generation_mismatch",
    /// The same question was answered too often in too short a time.
    TooManyRepeats = "too_many_repeats",
    /// The bot instance was deleted, or was never one.
    UnknownInstance = "unknown_instance",
    /// The bot does not exist.
    UnknownBot = "unknown_bot",
    /// The user does not exist.
    UnknownUser = "unknown_user",
    /// A role that the identity bears does not exist.
    RoleMissing = "role_missing",
    /// No rule allows this, or one denies it.
    AccessDenied = "access_denied",
    /// The certificate was issued by an authority that is not trusted (any more), or in another cluster.
    UntrustedCertificate = "untrusted_certificate",
    /// The certificate is good for another address only.
    OtherAddress = "other_address",
    /// The certificate is of a kind that cannot be used for this.
    WrongCertificate = "wrong_certificate",
    /// The join token does not exist, has ended, or is not for this.
    TokenUnknown = "token_unknown",
    /// The join token is for another role. Recorded; told as [`Reason::TokenUnknown`].
    TokenRole = "token_role",
    /// The join token was spent by another join.
    TokenSpent = "token_spent",
    /// The join token was made before the cluster was restored, so it may have been spent.
    TokenBeforeRestore = "token_before_restore",
    /// A host with this id has joined already, and it is another one.
    HostTaken = "host_taken",
    /// The join method is not one that this server can verify.
    MethodUnsupported = "method_unsupported",
    /// The clocks of the two sides differ too much for what was asked.
    Clock = "clock",
    /// Somebody else changed meanwhile what the answer was decided on: reading it again and asking again is right.
    Raced = "raced",
    /// The client does not trust the server; nothing was asked.
    UntrustedServer = "untrusted_server",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error for a person: its kind, and what to do next in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What a program can act on.
    pub kind: Kind,
    /// What a person reads.
    pub message: String,
    /// What a program acts on where the kind is too coarse.
    pub reason: Option<Reason>,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), reason: None }
    }

    /// The same error with its reason.
    #[must_use]
    pub const fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The kind of the error.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// See [`Kind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// See [`Kind::AlreadyExists`].
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self::new(Kind::AlreadyExists, message)
    }

    /// See [`Kind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// See [`Kind::Denied`].
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(Kind::Denied, message)
    }

    /// See [`Kind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// See [`Kind::Limit`].
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(Kind::Limit, message)
    }

    /// See [`Kind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, message)
    }

    /// See [`Kind::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    /// See [`Kind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_a_code_of_its_own() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
            assert!(reason.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{reason}");
        }
        assert_eq!(Reason::parse("unheard_of"), None);
    }
}
