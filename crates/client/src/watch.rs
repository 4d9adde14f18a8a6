//! Following changes of resources.

use api::{
    r#gen::{proto, types},
    methods,
};
use domain::Error;

use crate::{Client, Streaming, error};

/// What to follow.
#[derive(Debug, Clone, Default)]
pub struct WatchKind {
    /// The resource kind, such as `cert_authority`.
    pub kind: String,
    /// Only this one.
    pub name: String,
    /// Narrows by the kind's own keys.
    pub filter: std::collections::BTreeMap<String, String>,
}

impl WatchKind {
    /// Everything of this kind.
    pub fn all(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), ..Self::default() }
    }
}

/// A running watch. It has begun: the server's first event was `init`.
pub struct Watch {
    stream: Streaming<proto::Event>,
}

impl Watch {
    /// The next change.
    ///
    /// # Errors
    /// Unavailable when the connection or the server ends the watch: begin another one and read anew.
    pub async fn next(&mut self) -> Result<proto::Event, Error> {
        let ended = || Error::unavailable("the server ended the watch");
        self.stream.next().await?.ok_or_else(ended)
    }
}

impl Client {
    /// Follows changes; returns when the server has confirmed that none will be missed from now on.
    ///
    /// # Errors
    /// See [`Client::call`].
    pub async fn watch(&self, kinds: Vec<WatchKind>) -> Result<Watch, Error> {
        let kinds = kinds.into_iter().map(|kind| types::WatchKind {
            kind: kind.kind,
            name: kind.name,
            filter: kind.filter,
            ..types::WatchKind::default()
        });
        let request = proto::Watch { kinds: kinds.collect(), allow_partial_success: false };
        let stream = self.server_stream::<methods::proto::auth_service::WatchEvents>(request).await?;
        let mut watch = Watch { stream };
        let limit = self.config().timeouts.call;
        let first = self.config().clock.timeout(limit, watch.next()).await;
        let first = first.map_err(|_| error::late("the beginning of a watch", limit))??;
        if first.r#type() == proto::Operation::Init {
            Ok(watch)
        } else {
            Err(Error::internal("the server began a watch without saying so"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use bytes::Bytes;
    use clock::Clock;
    use crypto::Random;
    use domain::error::Kind;
    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::{body::Frame, server::conn::http2, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::net::UnixListener;

    use super::*;
    use crate::{Config, Credentials};

    #[tokio::test]
    async fn a_watch_that_never_begins_is_given_up() {
        // An abstract name: no file is left behind.
        let place = format!("\0tessera-client-watch-{}", std::process::id());
        let listener = UnixListener::bind(&place).expect("a socket");
        let server = async {
            let (connection, _) = listener.accept().await.expect("a client");
            let silent = service_fn(|_| async {
                let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
                let answer = http::Response::builder().header("content-type", "application/grpc").body(body);
                Ok::<_, Infallible>(answer.expect("an answer"))
            });
            let server = http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(connection), silent).await;
        };
        let (clock, random) = (Clock::system(), Random::system());
        let mut config = Config::new([format!("unix://{place}")], Credentials::none(), clock.clone(), random);
        config.timeouts.call = Duration::from_millis(200);
        let client = Client::open(config).expect("a client");
        let watch = clock.timeout(Duration::from_secs(20), client.watch(Vec::new()));
        let outcome = tokio::select! {
            () = server => panic!("the server ended"),
            outcome = watch => outcome.expect("given up in time"),
        };
        let error = outcome.err().expect("no watch");
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.message.contains("the beginning of a watch"), "{error}");
    }
}
