//! Finds the table's row for a call, authenticates the peer, and runs the row's handler between decoding and encoding.

use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc};

use api::methods::Method;
use auth::{Auth, Caller, Operation};
use futures_util::{Stream, StreamExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prost::Message;
use tonic::{Request, Response, Status, Streaming, body::Body, codec::CompressionEncoding};

use crate::{
    codec::{BytesCodec, Requests, Unread, read},
    metadata,
    metrics::{MethodLabels, Metrics},
    peer::Peer,
    receive::{Charge, Received, Users},
};

/// The largest message that a peer may send: a token or role document is a few kB, a batch of audit events some 100 kB.
///
/// Without a bound one call could make the server hold any amount of memory.
pub const MAX_MESSAGE: usize = 4 << 20;

/// The largest message on a row that needs no certificate: a join is a few kB, with the attestation of a cloud some ten.
///
/// A stranger can begin a message on each stream of each connection and never end it; all of it is held until it does.
pub const MAX_MESSAGE_OF_ANYONE: usize = 64 << 10;

/// The codes OUT_OF_RANGE, which only the codec sends, and RESOURCE_EXHAUSTED as they stand in a header.
const OUT_OF_RANGE: &str = "11";
const RESOURCE_EXHAUSTED: http::HeaderValue = http::HeaderValue::from_static("8");

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A stream of answers, ended by its first error.
pub(crate) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

type Calls<Asked, Answer> = Box<dyn Fn(Context, Asked) -> BoxFuture<Result<Response<Answer>, Status>> + Send + Sync>;

/// What runs for a call, from the bytes of a request to those of the answer.
enum Handler {
    Unary(Calls<Unread, Vec<u8>>),
    ServerStream(Calls<Unread, Answers<Vec<u8>>>),
    BothStreams(Calls<Streaming<Unread>, Answers<Vec<u8>>>),
}

/// Who may reach a row at all; what they may then do is decided by the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A peer without a certificate too: Ping, the CA, joining.
    Anyone,
    /// A peer that showed a certificate of ours which is valid now, or that sits on the local administrator's socket.
    Authenticated,
}

/// What a handler gets beside its request.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) auth: Arc<Auth>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) peer: Arc<Peer>,
    /// The caller's `version` header.
    pub(crate) client: metadata::ClientVersion,
    /// What the request holds of the budgets of its connection and its user. An answer that goes on holds its part as long
    /// as this context lives.
    pub(crate) charge: Arc<Charge>,
}

/// One RPC: its path, who may call it, the operation that it stands for, and the code between its messages.
pub struct Row {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// Who may reach it.
    pub who: Who,
    /// What it does, in the terms of `auth`.
    pub operation: Operation,
    method: MethodLabels,
    handler: Handler,
}

/// A row for a method with one request and one response.
pub(crate) fn unary<M, F, Fut>(who: Who, operation: Operation, f: F) -> Row
where
    M: Method,
    F: Fn(Context, M::Request) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<M::Response, domain::Error>> + Send + 'static,
{
    let handler = Handler::Unary(Box::new(move |context, request| {
        Box::pin(async move {
            let answer = f(context, read(request)?).await.map_err(|error| api::status::to_status(&error))?;
            Ok(Response::new(answer.encode_to_vec()))
        })
    }));
    Row { path: M::PATH, who, operation, method: labels::<M>("unary"), handler }
}

/// A row for a method that answers with a stream.
pub(crate) fn server_stream<M, F, Fut>(who: Who, operation: Operation, f: F) -> Row
where
    M: Method,
    F: Fn(Context, M::Request) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<Answers<M::Response>, domain::Error>> + Send + 'static,
{
    let handler = Handler::ServerStream(Box::new(move |context, request| {
        Box::pin(async move { written(f(context, read(request)?).await) })
    }));
    Row { path: M::PATH, who, operation, method: labels::<M>("server_stream"), handler }
}

/// A row for a method whose both sides are streams.
pub(crate) fn both_streams<M, F, Fut>(who: Who, operation: Operation, f: F) -> Row
where
    M: Method,
    F: Fn(Context, Requests<M::Request>) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<Answers<M::Response>, domain::Error>> + Send + 'static,
{
    let handler = Handler::BothStreams(Box::new(move |context, requests| {
        Box::pin(async move { written(f(context, Requests::new(requests)).await) })
    }));
    Row { path: M::PATH, who, operation, method: labels::<M>("bidi_stream"), handler }
}

fn written<T: Message + 'static>(
    answers: Result<Answers<T>, domain::Error>,
) -> Result<Response<Answers<Vec<u8>>>, Status> {
    let answers = answers.map_err(|error| api::status::to_status(&error))?;
    Ok(Response::new(Box::pin(answers.map(|answer| answer.map(|answer| answer.encode_to_vec())))))
}

fn labels<M: Method>(grpc_type: &'static str) -> MethodLabels {
    MethodLabels { grpc_type, grpc_service: M::SERVICE, grpc_method: M::NAME }
}

impl Row {
    async fn run(&self, context: Context, request: http::Request<Received<Incoming>>) -> http::Response<Body> {
        let mut grpc = tonic::server::Grpc::new(BytesCodec(Arc::clone(&context.charge)))
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(match self.who {
                Who::Anyone => MAX_MESSAGE_OF_ANYONE,
                Who::Authenticated => MAX_MESSAGE,
            });
        match &self.handler {
            Handler::Unary(handler) => grpc.unary(Service { context, handler }, request).await,
            Handler::ServerStream(handler) => grpc.server_streaming(Service { context, handler }, request).await,
            Handler::BothStreams(handler) => grpc.streaming(Service { context, handler }, request).await,
        }
    }
}

/// A handler as the library wants it.
struct Service<'a, Asked, Answer> {
    context: Context,
    handler: &'a Calls<Asked, Answer>,
}

impl<Asked, Answer> tower_service::Service<Request<Asked>> for Service<'_, Asked, Answer> {
    type Response = Response<Answer>;
    type Error = Status;
    type Future = BoxFuture<Result<Response<Answer>, Status>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Status>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Asked>) -> Self::Future {
        (self.handler)(self.context.clone(), request.into_inner())
    }
}

/// All rows by path, and the paths that are known by name but not built.
pub struct Dispatcher {
    auth: Arc<Auth>,
    rows: HashMap<&'static str, Row>,
    metrics: Metrics,
    users: Users,
}

impl Dispatcher {
    /// Serves `rows` with `auth`, and counts.
    pub fn new(auth: Arc<Auth>, rows: Vec<Row>, metrics: Metrics) -> Self {
        Self { auth, metrics, users: Users::default(), rows: rows.into_iter().map(|row| (row.path, row)).collect() }
    }

    /// Answers one call of `peer`; every failure is a gRPC status.
    pub async fn call(&self, peer: Arc<Peer>, request: http::Request<Incoming>) -> http::Response<Body> {
        let now = self.auth.clock().now();
        let row = self.rows.get(request.uri().path());
        let counted = row.map(|row| self.metrics.begin(row.method, self.auth.clock()));
        let mut response = match self.route(row, peer, request).await {
            Ok(response) => response,
            Err(status) => status.into_http(),
        };
        let headers = response.headers_mut();
        // A message beyond MAX_MESSAGE. Clients know RESOURCE_EXHAUSTED as "limit exceeded" and OUT_OF_RANGE as nothing.
        if headers.get(Status::GRPC_STATUS).is_some_and(|code| code == OUT_OF_RANGE) {
            headers.insert(Status::GRPC_STATUS, RESOURCE_EXHAUSTED);
        }
        metadata::stamp(headers, now);
        match counted {
            Some(call) => call.answered(response),
            None => response,
        }
    }

    async fn route(
        &self,
        row: Option<&Row>,
        peer: Arc<Peer>,
        request: http::Request<Incoming>,
    ) -> Result<http::Response<Body>, Status> {
        let Some(row) = row else {
            let path = request.uri().path().to_owned();
            discard(request).await;
            return Err(api::status::to_status(&domain::Error::unsupported(format!("{path} is not supported yet"))));
        };
        let caller = match (peer.caller(&self.auth), row.who) {
            (Ok(caller), _) => caller,
            (Err(_), Who::Anyone) => peer.anonymous(),
            (Err(error), Who::Authenticated) => return Err(api::status::to_status(&error)),
        };
        if row.who == Who::Authenticated && caller.is_anonymous() {
            return Err(Status::permission_denied(
                "access denied: this call needs a client certificate of the cluster",
            ));
        }
        let client = metadata::ClientVersion::read(request.headers());
        // Held until there is an answer: a request that waits for its turn to be committed is in memory, too.
        let charge = self.charge(&peer, &caller);
        let clock = (!row.method.is_dialogue()).then(|| self.auth.clock().clone());
        let request = request.map(|body| Received::new(body, Arc::clone(&charge), clock));
        let context = Context { auth: Arc::clone(&self.auth), caller, peer, client, charge };
        Ok(row.run(context, request).await)
    }
}

impl Dispatcher {
    fn charge(&self, peer: &Peer, caller: &Caller) -> Arc<Charge> {
        if caller.is_anonymous() {
            return Charge::new(peer.stranger_budget(), None);
        }
        Charge::new(peer.budget(), Some(peer.user_budget(|| self.users.budget(caller.name()))))
    }
}

/// Reads a short request to its end, so that the peer sees the answer instead of a reset stream.
async fn discard(request: http::Request<Incoming>) {
    let mut left = 64 * 1024_usize;
    let mut body = request.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        let Some(data) = frame.data_ref() else { continue };
        match left.checked_sub(data.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
