//! The one place where error kinds and status codes meet.

use domain::error::{Error, Kind, Reason};
use prost::Message;
use tonic::{Code, Status};

use crate::r#gen::tessera::v1::Refusal;

/// The longest text of a status, in bytes. It travels as a header, percent-encoded to up to three times its length, and
/// clients end a connection (all calls on it) that brings more than 16 kB of headers. A refusal that repeats a name of a
/// mebibyte would do that.
const LONGEST_TEXT: usize = 4096;

/// Names the message that carries a reason.
const REFUSAL: &str = "type.googleapis.com/tessera.v1.Refusal";

/// `google.rpc.Status`: the form in which gRPC carries details. Clients that read it take the text from here.
#[derive(Clone, PartialEq, prost::Message)]
struct RichStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// The status of a refused call. A defect of ours is INTERNAL and never UNKNOWN: the latter trips breakers of clients.
#[must_use]
pub fn to_status(error: &Error) -> Status {
    let code = code(error.kind);
    let Some(reason) = error.reason else { return Status::new(code, cut(&error.message, LONGEST_TEXT)) };
    // The text travels twice.
    let message = cut(&error.message, LONGEST_TEXT / 2);
    let refusal = Refusal { reason: reason.as_str().to_owned() };
    let detail = prost_types::Any { type_url: REFUSAL.to_owned(), value: refusal.encode_to_vec() };
    let rich = RichStatus { code: code.into(), message: message.clone(), details: vec![detail] };
    Status::with_details(code, message, rich.encode_to_vec().into())
}

fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(longest - '…'.len_utf8());
    format!("{}…", &text[..end])
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
    Error { reason: reason(status.details()), ..Error::new(kind(status.code()), status.message()) }
}

fn reason(details: &[u8]) -> Option<Reason> {
    let rich = RichStatus::decode(details).ok()?;
    let detail = rich.details.iter().find(|detail| detail.type_url == REFUSAL)?;
    Reason::parse(&Refusal::decode(&*detail.value).ok()?.reason)
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
    fn a_reason_survives_the_wire_and_fits_it() {
        for reason in Reason::ALL.iter().copied() {
            let error = Error::denied("why").because(reason);
            assert_eq!(from_status(&to_status(&error)), error);
        }
        // Percent-encoded and base64, the text must leave room for the other headers.
        let long = to_status(&Error::denied("é".repeat(1 << 20)).because(Reason::Locked));
        assert!(long.message().len() * 3 + long.details().len() * 4 / 3 < 12 << 10);
        assert_eq!(from_status(&long).reason, Some(Reason::Locked));
    }

    #[test]
    fn details_that_are_not_ours_are_no_reason() {
        let refusal = |reason: &str| Refusal { reason: reason.into() }.encode_to_vec();
        let any = |type_url: &str, value| prost_types::Any { type_url: type_url.into(), value };
        for detail in [
            any(REFUSAL, refusal("of_the_future")),
            any("type.googleapis.com/a.B", refusal("locked")),
            any(REFUSAL, vec![0xff]),
        ] {
            let rich = RichStatus { details: vec![detail], ..RichStatus::default() };
            let status = Status::with_details(Code::PermissionDenied, "why", rich.encode_to_vec().into());
            assert_eq!(from_status(&status), Error::denied("why"));
        }
        let garbage = Status::with_details(Code::PermissionDenied, "why", vec![0xff; 9].into());
        assert_eq!(from_status(&garbage), Error::denied("why"));
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
