//! Why a bot ends, in words for the person who has to do something about it.

use domain::error::Kind;

use crate::{ConfigError, destination::DestinationError, identity::StateError};

/// Why a bot cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum BotError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration asks for what is not built, or for nothing that could work.
    #[error("{0}")]
    Unsupported(String),
    /// The bot's own state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// An artifact cannot be written.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// There is neither an identity nor a way to get one.
    #[error("{0}")]
    NeedsHuman(String),
    /// The auth service did not give what was asked for.
    #[error("{what}")]
    Auth {
        /// What was asked for.
        what: &'static str,
        /// The answer.
        source: domain::Error,
    },
    /// Something on this machine is in the way.
    #[error("{0}")]
    Machine(String),
}

impl BotError {
    /// The kind that this is in the closed list.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Destination(error) | Self::State(StateError::Storage(error)) => error.kind(),
            Self::Config(_) | Self::State(_) | Self::Machine(_) => Kind::Invalid,
            Self::Unsupported(_) => Kind::Unsupported,
            Self::NeedsHuman(_) => Kind::Denied,
            Self::Auth { source, .. } => source.kind,
        }
    }
}
