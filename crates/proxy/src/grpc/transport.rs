//! `teleport.transport.v1.TransportService`: a connection within a stream. The client speaks TLS with the auth service
//! inside; what a stream can make us hold is a frame and a buffer each way, and the windows of HTTP/2.

use std::{
    future::{Future, ready},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use api::{
    r#gen::teleport::transport::v1::{
        ClusterDetails, Frame, GetClusterDetailsRequest, GetClusterDetailsResponse, ProxyClusterRequest,
        ProxyClusterResponse, ProxySshRequest, ProxySshResponse,
    },
    methods::{
        Method,
        teleport::transport::v1::transport_service::{GetClusterDetails, ProxyCluster, ProxySsh},
    },
    status::to_status,
};
use bytes::Bytes;
use domain::Error;
use futures_util::{Stream, StreamExt as _, stream};
use http::{Request, Response};
use hyper::body::Incoming;
use prost::Message;
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex, join},
    task::JoinSet,
};
use tokio_util::io::StreamReader;
use tonic::{Code, Status, Streaming, body::Body};
use tonic_prost::ProstCodec;

use super::Callee;
use crate::forward;

/// The longest message that is taken. Clients send frames of 16 KiB.
const MAX_MESSAGE: usize = 64 * 1024;

/// The longest name that is repeated in a refusal.
const LONGEST_NAME: usize = 255;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Whether a call is one of this service.
pub(super) fn serves(path: &str) -> bool {
    [GetClusterDetails::PATH, ProxyCluster::PATH, ProxySsh::PATH].contains(&path)
}

/// Answers a call of somebody who may make it.
pub(super) async fn answer(callee: &Arc<Callee>, request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        ProxyCluster::PATH => {
            let handle = Handler(|requests| proxy_cluster(Arc::clone(callee), requests));
            grpc::<ProxyClusterResponse, _>().streaming(handle, request).await
        }
        ProxySsh::PATH => {
            let handle = Handler(|requests| proxy_ssh(Arc::clone(callee), requests));
            grpc::<ProxySshResponse, _>().streaming(handle, request).await
        }
        _ => {
            let details = Some(ClusterDetails { fips_enabled: false });
            let handle = Handler(|_: GetClusterDetailsRequest| ready(Ok(GetClusterDetailsResponse { details })));
            grpc().unary(handle, request).await
        }
    }
}

fn grpc<Answer, Asked>() -> tonic::server::Grpc<ProstCodec<Answer, Asked>>
where
    Answer: Message + 'static,
    Asked: Message + Default + 'static,
{
    tonic::server::Grpc::new(ProstCodec::default()).max_decoding_message_size(MAX_MESSAGE)
}

/// A function as the library wants it.
struct Handler<F>(F);

impl<F, Asked, Answer, Fut> tower_service::Service<tonic::Request<Asked>> for Handler<F>
where
    F: FnMut(Asked) -> Fut,
    Fut: Future<Output = Result<Answer, Status>> + Send + 'static,
{
    type Response = tonic::Response<Answer>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<Asked>) -> Self::Future {
        let answer = (self.0)(request.into_inner());
        Box::pin(async move { answer.await.map(tonic::Response::new) })
    }
}

/// A connection to the auth service of this cluster.
async fn proxy_cluster(
    callee: Arc<Callee>,
    mut requests: Streaming<ProxyClusterRequest>,
) -> Result<Answers<ProxyClusterResponse>, Status> {
    let first = first(&callee, &mut requests).await?;
    check_cluster(&callee, &first.cluster)?;
    let auth = forward::dial(&callee.proxy, callee.ends).await.map_err(|error| {
        tracing::warn!(%error, "the auth service cannot be reached for a stream");
        to_status(&Error::unavailable("the auth service cannot be reached"))
    })?;
    let (from_auth, to_client) = duplex(forward::BUFFER);
    let client = join(StreamReader::new(sent(first.frame, requests)), to_client);
    let mut carrying = JoinSet::new();
    carrying.spawn(async move {
        let carried = forward::both_ways(client, auth, &callee.proxy.ports.clock, &callee.stop).await;
        carried.map_err(|error| error.downcast().unwrap_or_else(|_| broken()))
    });
    Ok(Box::pin(stream::unfold(Some(Carried { from_auth, carrying, broken: None }), async |carried| {
        carried?.next().await
    })))
}

/// The bytes of one stream.
struct Carried {
    from_auth: DuplexStream,
    /// Carries both sides; cut off with the stream.
    carrying: JoinSet<Result<(), Status>>,
    /// Why it has ended; told after the bytes that came before.
    broken: Option<Status>,
}

impl Carried {
    async fn next(mut self) -> Option<(Result<ProxyClusterResponse, Status>, Option<Self>)> {
        let mut payload = Vec::with_capacity(forward::BUFFER);
        loop {
            tokio::select! {
                // Why it has ended, before that it has.
                biased;
                Some(ended) = self.carrying.join_next(), if !self.carrying.is_empty() => {
                    self.broken = ended.unwrap_or_else(|_| Err(Status::internal("the stream broke"))).err();
                }
                read = self.from_auth.read_buf(&mut payload) => return match read {
                    Ok(0) => self.broken.take().map(|status| (Err(status), None)),
                    Ok(_) => Some((Ok(ProxyClusterResponse { frame: Some(Frame { payload }) }), Some(self))),
                    Err(_) => Some((Err(broken()), None)),
                },
            }
        }
    }
}

/// What the client sends, to its end. A message without a frame, or with another cluster, is no message.
fn sent(
    first: Option<Frame>,
    requests: Streaming<ProxyClusterRequest>,
) -> impl Stream<Item = io::Result<Bytes>> + Unpin + Send {
    let more = requests.map(|request| match request.map_err(too_long)? {
        ProxyClusterRequest { frame: Some(frame), cluster } if cluster.is_empty() => Ok(frame),
        _ => Err(to_status(&Error::invalid("after the first message there are frames only"))),
    });
    let frames = stream::iter(first.map(Ok)).chain(more);
    frames.map(|frame| frame.map(|frame| frame.payload.into()).map_err(io::Error::other))
}

/// A connection to an SSH host: there are none. The first answer would carry the cluster's details, and say by that that
/// the host is connected; so a refusal comes before any.
async fn proxy_ssh(
    callee: Arc<Callee>,
    mut requests: Streaming<ProxySshRequest>,
) -> Result<Answers<ProxySshResponse>, Status> {
    let first = first(&callee, &mut requests).await?;
    let target = first.dial_target.filter(|target| !target.host_port.is_empty());
    let target = target.ok_or_else(|| to_status(&Error::invalid("the first message must name the host to dial")))?;
    check_cluster(&callee, &target.cluster)?;
    let host = short(&target.host_port);
    Err(to_status(&Error::not_found(format!("no SSH host {host:?} is connected to this cluster"))))
}

/// The first message, which says where to. It is waited for as long as for a handshake.
async fn first<T>(callee: &Callee, requests: &mut Streaming<T>) -> Result<T, Status> {
    let limit = callee.proxy.config.limits.handshake_deadline;
    let first = callee.proxy.ports.clock.timeout(limit, requests.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("the first message took too long"))?;
    first.map_err(too_long)?.ok_or_else(|| to_status(&Error::invalid("a stream without a message")))
}

fn check_cluster(callee: &Callee, cluster: &str) -> Result<(), Status> {
    if cluster.is_empty() {
        return Err(to_status(&Error::invalid("the first message must name the cluster")));
    }
    if cluster != callee.proxy.config.cluster {
        return Err(to_status(&Error::not_found(format!("there is no cluster {:?} here", short(cluster)))));
    }
    Ok(())
}

fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST_NAME)]
}

fn broken() -> Status {
    to_status(&Error::unavailable("the connection to the auth service broke"))
}

/// Clients know RESOURCE_EXHAUSTED as "limit exceeded" and OUT_OF_RANGE as nothing.
fn too_long(status: Status) -> Status {
    if status.code() == Code::OutOfRange { Status::resource_exhausted(status.message()) } else { status }
}
