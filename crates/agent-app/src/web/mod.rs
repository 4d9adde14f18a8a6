//! HTTP through an agent: what is changed in requests and answers, and who answers when the application does not.

pub(crate) mod answer;
pub(crate) mod cors;
pub(crate) mod dumper;
pub(crate) mod headers;
pub(crate) mod pool;
pub(crate) mod request;
pub(crate) mod rewrite;
pub(crate) mod upgrade;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};

/// What goes wrong while a body is carried.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is carried on, or made here.
pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body that is there at once.
pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}
