//! How the failures of the layers below reach a caller.

use domain::Error;

/// A storage failure as a caller sees it: nothing of the inside, and "unavailable" wherever asking again is right.
pub(crate) fn storage_error(error: storage::Error) -> Error {
    match error {
        storage::Error::Unavailable { .. } | storage::Error::OutcomeUnknown { .. } => {
            tracing::warn!(%error, "storage did not answer");
            Error::unavailable("the cluster's storage is not available; try again")
        }
        other => {
            tracing::error!(error = %other, "storage refused an operation");
            Error::internal("the operation failed inside the server; its log says more")
        }
    }
}

/// A failure of ours that no caller can act on: logged whole, told briefly.
pub(crate) fn internal(what: &str, error: impl std::error::Error) -> Error {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain.push_str(": ");
        chain.push_str(&cause.to_string());
        source = cause.source();
    }
    tracing::error!(error = chain, "{what}");
    Error::internal(format!("{what}; the server's log says more"))
}
