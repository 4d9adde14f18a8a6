//! HTTP through an agent: what is changed in requests and answers, and who answers when the application does not.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod cors;
pub(crate) mod dumper;
pub(crate) mod headers;
pub(crate) mod pool;
pub(crate) mod request;
pub(crate) mod rewrite;
pub(crate) mod send;
pub(crate) mod upgrade;

pub(crate) use self::body::{Body, full};
