//! The one place where error kinds and status codes meet.

use domain::error::{Error, Kind};
use tonic::{Code, Status};

/// The longest text of a status, in bytes. It travels as a header, percent-encoded to up to three times its length, and
/// clients end a connection (all calls on it) that brings more than 16 kB of headers. A refusal that repeats a name of a
/// mebibyte would do that.
const LONGEST_TEXT: usize = 4096;

/// The status of a refused call. A defect of ours is INTERNAL and never UNKNOWN: the latter trips breakers of clients.
#[must_use]
pub fn to_status(error: &Error) -> Status {
    let text = &error.message;
    if text.len() <= LONGEST_TEXT {
        return Status::new(code(error.kind), text.as_str());
    }
    let end = text.floor_char_boundary(LONGEST_TEXT - '…'.len_utf8());
    Status::new(code(error.kind), format!("{}…", &text[..end]))
}

/// The code of a kind.
#[must_use]
pub const fn code(kind: Kind) -> Code {
    match kind {
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::Conflict => Code::FailedPrecondition,
        Kind::Denied => Code::PermissionDenied,
        Kind::Invalid => Code::InvalidArgument,
        Kind::Limit => Code::ResourceExhausted,
        Kind::Unsupported => Code::Unimplemented,
        Kind::Unavailable => Code::Unavailable,
        Kind::Internal => Code::Internal,
    }
}

/// What a status says, as a client sees it; codes that we never send are read by their meaning.
#[must_use]
pub fn from_status(status: &Status) -> Error {
    Error::new(kind(status.code()), status.message())
}

/// The kind that a code stands for.
#[must_use]
pub const fn kind(code: Code) -> Kind {
    match code {
        Code::NotFound => Kind::NotFound,
        Code::AlreadyExists => Kind::AlreadyExists,
        Code::FailedPrecondition | Code::Aborted => Kind::Conflict,
        Code::PermissionDenied | Code::Unauthenticated => Kind::Denied,
        Code::InvalidArgument | Code::OutOfRange => Kind::Invalid,
        Code::ResourceExhausted => Kind::Limit,
        Code::Unimplemented => Kind::Unsupported,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Kind::Unavailable,
        Code::Internal | Code::Unknown | Code::DataLoss | Code::Ok => Kind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_before_it_breaks_the_connection() {
        for (text, length) in [("x".repeat(4096), 4096), ("x".repeat(4097), 4096), ("é".repeat(1 << 20), 4095)] {
            assert_eq!(to_status(&Error::new(Kind::NotFound, text)).message().len(), length);
        }
    }

    #[test]
    fn every_kind_survives_the_wire() {
        for expected in Kind::ALL {
            let back = from_status(&to_status(&Error::new(expected, "why")));
            assert_eq!((back.kind, back.message.as_str()), (expected, "why"));
        }
    }

    #[test]
    fn nothing_we_send_trips_the_breaker_by_accident() {
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Unavailable) {
            assert!(!matches!(
                code(kind),
                Code::Cancelled | Code::Unknown | Code::Unavailable | Code::DeadlineExceeded
            ));
        }
    }
}
