//! The exit codes of every tool, and which error ends with which of them.

use std::process::ExitCode;

use domain::error::Kind;

/// How a process ended. The numbers are documented for scripts and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything that was asked for was done.
    Done,
    /// 1: it failed, for a reason without a code of its own.
    Failed,
    /// 2: the command line is wrong (clap uses the same number).
    Usage,
    /// 3: what was named does not exist.
    NotFound,
    /// 4: it exists already, or was changed by somebody else meanwhile.
    Conflict,
    /// 5: the caller may not do this.
    Denied,
    /// 6: the server cannot be reached, or cannot answer now; trying again later may help.
    Unavailable,
    /// 7: this cluster or this version cannot do it.
    Unsupported,
    /// 8: a document, file or value is invalid.
    Invalid,
}

/// What the help of each tool says about exit codes.
pub const HELP: &str = "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 not found, 4 exists already or changed \
meanwhile, 5 denied, 6 unreachable or overloaded, 7 not supported, 8 invalid document or value.";

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Conflict => 4,
            Exit::Denied => 5,
            Exit::Unavailable => 6,
            Exit::Unsupported => 7,
            Exit::Invalid => 8,
        }
    }

    /// The code for a failure: that of the first [`domain::Error`] or [`Usage`] in its chain.
    pub fn of(error: &anyhow::Error) -> Self {
        if error.chain().any(|cause| cause.is::<Usage>()) {
            return Exit::Usage;
        }
        if let Some(document) = error.chain().find_map(|cause| cause.downcast_ref::<domain::DocumentError>()) {
            return if document.is_unsupported { Exit::Unsupported } else { Exit::Invalid };
        }
        if error.chain().any(|cause| cause.is::<InvalidInput>()) {
            return Exit::Invalid;
        }
        error.chain().find_map(|cause| cause.downcast_ref::<domain::Error>()).map_or(Exit::Failed, |e| e.kind.into())
    }
}

/// A failure whose reason is what somebody wrote into a file: it shows as the failure itself and ends with
/// [`Exit::Invalid`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidInput(#[source] anyhow::Error);

/// Marks a failure as caused by the content of a file.
pub fn invalid_input(failure: impl Into<anyhow::Error>) -> anyhow::Error {
    anyhow::Error::new(InvalidInput(failure.into()))
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::NotFound => Exit::NotFound,
            Kind::AlreadyExists | Kind::Conflict => Exit::Conflict,
            Kind::Denied => Exit::Denied,
            Kind::Invalid => Exit::Invalid,
            Kind::Unsupported => Exit::Unsupported,
            Kind::Unavailable | Kind::Limit => Exit::Unavailable,
            Kind::Internal => Exit::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// A command line that clap accepts but whose flags do not fit together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_decides_the_code() {
        for (error, exit) in [
            (anyhow::anyhow!("x"), Exit::Failed),
            (anyhow::Error::new(Usage("x".into())), Exit::Usage),
            (anyhow::Error::new(domain::Error::unavailable("x")).context("y"), Exit::Unavailable),
            (anyhow::Error::new(domain::Error::conflict("x")), Exit::Conflict),
            (invalid_input(anyhow::anyhow!("x")).context("y"), Exit::Invalid),
            (anyhow::Error::new(domain::read_documents("kind: [", "f").unwrap_err()), Exit::Invalid),
            (
                anyhow::Error::new(domain::read_documents("{kind: node, version: v2}", "f").unwrap_err()),
                Exit::Unsupported,
            ),
        ] {
            assert_eq!(Exit::of(&error), exit, "{error:#}");
        }
    }
}
