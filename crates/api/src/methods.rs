//! One marker type for each call, in modules of the same path as its package and service:
//! `methods::proto::auth_service::Ping`, `methods::teleport::users::v1::users_service::GetUser`.

pub use crate::not_yet::NOT_YET;

#[rustfmt::skip]
#[path = "gen/methods.rs"]
mod generated;

pub use generated::*;

/// Services that proxies offer, and the auth service does not.
pub const OF_PROXIES: &[&str] = &["teleport.transport.v1.TransportService"];

/// A call: where it lives, what it takes and gives.
pub trait Method: Send + Sync + 'static {
    /// What the client sends; for a client stream, each item of it.
    type Request: prost::Message + Default + Send + Sync + 'static;
    /// What the server answers; for a server stream, each item of it.
    type Response: prost::Message + Default + Send + Sync + 'static;
    /// `package.Service`.
    const SERVICE: &'static str;
    /// The method alone.
    const NAME: &'static str;
    /// `/package.Service/Method`.
    const PATH: &'static str;
    /// Which sides stream.
    const STREAMING: Streaming;
}

/// Which sides of a call stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Streaming {
    /// One request, one response.
    Unary,
    /// One request, a stream of responses.
    Server,
    /// A stream of requests, one response.
    Client,
    /// Streams both ways.
    Bidirectional,
}

/// A call as a value, for tables over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Description {
    /// `package.Service`.
    pub service: &'static str,
    /// The method alone.
    pub name: &'static str,
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// Which sides stream.
    pub streaming: Streaming,
}

impl Description {
    /// The description of a marker type.
    #[must_use]
    pub const fn of<M: Method>() -> Self {
        Self { service: M::SERVICE, name: M::NAME, path: M::PATH, streaming: M::STREAMING }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_path_is_declared_twice() {
        let paths: Vec<&str> = ALL.iter().map(|call| call.path).chain(NOT_YET.iter().copied()).collect();
        let distinct: BTreeSet<&str> = paths.iter().copied().collect();
        assert_eq!(paths.len(), distinct.len());
        assert!(ALL.iter().all(|call| call.path == format!("/{}/{}", call.service, call.name)));
    }
}
