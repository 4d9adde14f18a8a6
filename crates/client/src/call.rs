//! Typed calls: a marker type names the method, its request and its response.

use std::{str::FromStr, time::Duration};

use api::methods::Method;
use domain::{Error, error::Kind};
use futures_util::Stream;
use http::uri::PathAndQuery;
use tonic::{Request, Status, client::Grpc};
use tonic_prost::ProstCodec;

use crate::{
    Backoff, Config, ConnectError, Skew, Trust,
    connection::{Connection, origin},
    error, first_connect,
};

/// Larger than any page that the server sends (4 MiB), small enough that a broken server cannot fill our memory.
const MAX_MESSAGE: usize = 8 * 1024 * 1024;

/// How often [`Client::repeat`] asks.
const ATTEMPTS: u32 = 4;

/// A client of the auth service. Cheap to clone; clones share one connection.
#[derive(Clone)]
pub struct Client {
    connection: Connection,
}

/// The answers of a streaming call. Dropping it ends the call.
pub struct Streaming<T> {
    inner: tonic::Streaming<T>,
}

impl Client {
    /// Dials, verifies, and returns when the connection is up. With pins, or without any trust, the cluster's
    /// authorities are learned first (see [`first_connect`](crate::fetch_authorities)).
    ///
    /// # Errors
    /// Unavailable when nobody answers, denied when one of the two sides does not trust the other, invalid when the
    /// configuration cannot work.
    pub async fn connect(mut config: Config) -> Result<Self, Error> {
        if matches!(config.trust, Trust::Pins(_) | Trust::DangerAnything) {
            config.trust = Trust::Authorities(first_connect::fetch_authorities(&config).await?);
        }
        let client = Self::open(config)?;
        client.connection.ready().await?;
        Ok(client)
    }

    /// A client that dials with its first call.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub(crate) fn open(config: Config) -> Result<Self, ConnectError> {
        Connection::new(config).map(|connection| Self { connection })
    }

    /// What the client was made from.
    pub fn config(&self) -> &Config {
        self.connection.config()
    }

    /// How far our clock differs from the server's, as of the last answer.
    pub fn skew(&self) -> Option<Skew> {
        self.connection.skew()
    }

    /// Closes the connection; the next call dials again.
    pub async fn close(&self) {
        self.connection.close().await;
    }

    /// One call, asked once. The deadline is [`crate::Timeouts::call`].
    ///
    /// # Errors
    /// What the server answered, or unavailable when it did not.
    pub async fn call<M: Method>(&self, request: M::Request) -> Result<M::Response, Error> {
        let limit = self.config().timeouts.call;
        let mut grpc = self.grpc();
        let call = grpc.unary(self.request::<M>(request, Some(limit)), path::<M>(), codec());
        match self.config().clock.timeout(limit, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.explain(&status)),
            Err(_) => Err(error::late(M::PATH, limit)),
        }
    }

    /// The same as [`Self::call`]; its name is how people who come from the wire look for it.
    ///
    /// # Errors
    /// See [`Self::call`].
    pub async fn unary<M: Method>(&self, request: M::Request) -> Result<M::Response, Error> {
        self.call::<M>(request).await
    }

    /// A call that may be asked again without harm: a read, or one that the server answers repeatably. Asked up to
    /// four times, with growing waits, while the server is unavailable.
    ///
    /// # Errors
    /// See [`Self::call`].
    pub async fn repeat<M: Method>(&self, request: M::Request) -> Result<M::Response, Error>
    where
        M::Request: Clone,
    {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(8));
        for _ in 1..ATTEMPTS {
            match self.call::<M>(request.clone()).await {
                Err(error) if error.kind == Kind::Unavailable => {}
                answer => return answer,
            }
            self.config().clock.sleep(backoff.wait(&self.config().random)).await;
        }
        self.call::<M>(request).await
    }

    /// A call with one question and many answers.
    ///
    /// # Errors
    /// See [`Self::call`]; the deadline covers the beginning of the stream only.
    pub async fn server_stream<M: Method>(&self, request: M::Request) -> Result<Streaming<M::Response>, Error> {
        let mut grpc = self.grpc();
        let call = grpc.server_streaming(self.request::<M>(request, None), path::<M>(), codec());
        self.begin::<M>(call).await
    }

    /// A call with many questions and many answers.
    ///
    /// # Errors
    /// See [`Self::server_stream`].
    pub async fn bidirectional<M: Method>(
        &self,
        requests: impl Stream<Item = M::Request> + Send + 'static,
    ) -> Result<Streaming<M::Response>, Error> {
        let mut grpc = self.grpc();
        let call = grpc.streaming(Request::new(requests), path::<M>(), codec::<M::Request, M::Response>());
        self.begin::<M>(call).await
    }

    async fn begin<M: Method>(
        &self,
        call: impl Future<Output = Result<tonic::Response<tonic::Streaming<M::Response>>, Status>>,
    ) -> Result<Streaming<M::Response>, Error> {
        let limit = self.config().timeouts.call;
        match self.config().clock.timeout(limit, call).await {
            Ok(Ok(response)) => Ok(Streaming { inner: response.into_inner() }),
            Ok(Err(status)) => Err(self.explain(&status)),
            Err(_) => Err(error::late(M::PATH, limit)),
        }
    }

    fn grpc(&self) -> Grpc<Connection> {
        Grpc::with_origin(self.connection.clone(), origin()).max_decoding_message_size(MAX_MESSAGE)
    }

    fn request<M: Method>(&self, message: M::Request, limit: Option<Duration>) -> Request<M::Request> {
        let mut request = Request::new(message);
        if let Some(limit) = limit {
            request.set_timeout(limit);
        }
        request
    }

    /// The server's answer, or the reason why there was none; a wrong clock is named beside a refusal.
    fn explain(&self, status: &Status) -> Error {
        let mut error = from_status(status);
        if let (Kind::Denied | Kind::Invalid, Some(skew)) = (error.kind, self.skew()) {
            error.message = format!("{} ({skew})", error.message);
        }
        error
    }
}

impl<T> Streaming<T> {
    /// The next answer; nothing when the server has ended the stream.
    ///
    /// # Errors
    /// What the server ended the stream with.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        self.inner.message().await.map_err(|status| from_status(&status))
    }
}

fn from_status(status: &Status) -> Error {
    let mut next = std::error::Error::source(status);
    while let Some(source) = next {
        if let Some(error) = source.downcast_ref::<ConnectError>() {
            return error.clone().into();
        }
        next = source.source();
    }
    match status.code() {
        // What our own side makes of a connection that broke under a call.
        tonic::Code::Unknown | tonic::Code::Cancelled | tonic::Code::DeadlineExceeded => {
            match ConnectError::from_io("the auth service", status) {
                refused @ ConnectError::Refused { .. } => refused.into(),
                _ => Error::unavailable(status.message()),
            }
        }
        _ => api::status::from_status(status),
    }
}

fn path<M: Method>() -> PathAndQuery {
    PathAndQuery::from_str(M::PATH).unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

fn codec<Q, A>() -> ProstCodec<Q, A> {
    ProstCodec::default()
}
