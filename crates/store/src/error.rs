//! From what a back end says to what a person reads. Keys stay out of it: the name of a token is a secret.

use domain::{Error, Kind, error::Reason, resources::token};

/// What a person may read as the name of a resource.
pub(crate) fn shown(kind: Kind, name: &str) -> String {
    if kind != Kind::Token {
        return format!("{kind} {name:?}");
    }
    // The name of a secret token is the secret.
    format!("{kind} {:?}", token::mask(name))
}

pub(crate) fn not_found(kind: Kind, name: &str) -> Error {
    Error::not_found(format!("{} does not exist", shown(kind, name)))
}

pub(crate) fn already_exists(kind: Kind, name: &str) -> Error {
    Error::already_exists(format!("{} already exists", shown(kind, name)))
}

pub(crate) fn conflict(kind: Kind, name: &str) -> Error {
    Error::conflict(format!("{} was changed by somebody else meanwhile: read it again and repeat", shown(kind, name)))
}

/// The same for an item that is no resource.
pub(crate) fn raced() -> Error {
    Error::conflict("what this depends on was changed meanwhile: repeat").because(Reason::Raced)
}

/// What is left once conditions have been told apart.
pub(crate) fn from_storage(error: storage::Error) -> Error {
    match error {
        storage::Error::Condition { .. } => raced(),
        storage::Error::TooLarge { what, actual, limit } => {
            Error::limit(format!("the change is too large: {actual} {what}, at most {limit} are allowed"))
        }
        storage::Error::DuplicateKey { .. } => Error::internal("a change writes one item twice"),
        storage::Error::OutcomeUnknown { reason } => {
            tracing::error!(reason, "outcome of a change is unknown");
            Error::unavailable("storage did not confirm the change: ask again")
        }
        storage::Error::Unavailable { reason } => {
            tracing::warn!(reason, "storage is unavailable");
            Error::unavailable(format!("storage is unavailable: {reason}"))
        }
        storage::Error::Corrupt { what } => {
            tracing::error!(what, "storage is corrupt");
            Error::internal("storage holds something that cannot be read; see the server's log")
        }
    }
}
