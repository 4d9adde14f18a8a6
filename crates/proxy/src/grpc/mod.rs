//! gRPC that ends here: connections within streams for whoever shows a certificate of the cluster, and joining for
//! whoever has none yet. Anything else is refused by its name.

mod joining;
mod member;
mod transport;

use std::{convert::Infallible, io, pin::pin, sync::Arc};

use api::status::to_status;
use domain::Error;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use net::BoxIo;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use self::{joining::Joining, member::Member};
use crate::{
    Proxy,
    door::{Ended, among_strangers},
    ends::Ends,
    forward,
    router::Route,
};

/// Calls at a time on a connection of somebody whom we know.
const MAX_STREAMS: u32 = 64;

/// The same, of a stranger: he asks for the authorities and joins, one after the other.
const MAX_STREAMS_OF_STRANGER: u32 = 16;

/// Unread bytes of one call, and of all of a connection's.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Unread bytes of a stranger's calls, one or all.
const STRANGERS_WINDOW: u32 = 64 * 1024;

/// Bytes of one call's answer that wait for the client.
const SEND_BUFFER: usize = 64 * 1024;

/// Streams that a client may open and reset before we have looked at them (CVE-2023-44487).
const MAX_RESETS: usize = 32;

/// A connection, and who is at its other end.
struct Callee {
    proxy: Arc<Proxy>,
    ends: Ends,
    speaks: Speaks,
    stop: CancellationToken,
}

/// What a connection is for.
enum Speaks {
    /// Joining; certificates are not asked for.
    Joining(Joining),
    /// Connections within streams; who showed no certificate gets none.
    Transport(Option<Box<Member>>),
}

/// Serves a connection to its end; after `stop` for a while with the calls that run.
pub(crate) fn serve(
    proxy: Arc<Proxy>,
    stream: TlsStream<BoxIo>,
    route: Route,
    ends: Ends,
    stop: CancellationToken,
) -> impl Future<Output = Result<(), Ended>> + Send {
    let speaks = match route {
        Route::Join => Speaks::Joining(Joining::default()),
        _ => Speaks::Transport(Member::of(stream.get_ref().1).map(Box::new)),
    };
    let is_known = matches!(speaks, Speaks::Transport(Some(_)));
    let callee = Arc::new(Callee { proxy: Arc::clone(&proxy), ends, speaks, stop });
    let served = Box::pin(http2(callee, Box::new(stream), is_known));
    async move {
        match is_known {
            true => Ok(served.await?),
            false => among_strangers(&proxy, ends, served).await,
        }
    }
}

async fn http2(callee: Arc<Callee>, stream: BoxIo, is_known: bool) -> io::Result<()> {
    let limits = callee.proxy.config.limits;
    let whose = Arc::clone(&callee);
    let service = service_fn(move |request| {
        let callee = Arc::clone(&callee);
        async move { Ok::<_, Infallible>(callee.answer(request).await) }
    });
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        .max_concurrent_streams(if is_known { MAX_STREAMS } else { MAX_STREAMS_OF_STRANGER })
        .initial_stream_window_size(if is_known { STREAM_WINDOW } else { STRANGERS_WINDOW })
        .initial_connection_window_size(if is_known { CONNECTION_WINDOW } else { STRANGERS_WINDOW })
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.header_deadline)
        .keep_alive_timeout(limits.header_deadline);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => return ended.map_err(io::Error::other),
        () = whose.stop.cancelled() => {}
        // Whoever has a newer certificate comes again with it; what is inside of streams is judged there.
        () = whose.is_over() => {}
    }
    connection.as_mut().graceful_shutdown();
    // Each call ends soon, but a client that does not read its answers would hold the connection.
    let ended = async { connection.await.map_err(io::Error::other) };
    forward::until_after(&whose.stop, &whose.proxy.ports.clock, ended).await
}

impl Callee {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let answered = match &self.speaks {
            Speaks::Joining(joining) if joining::serves(request.uri().path()) => {
                joining.forward(&self.proxy, self.ends, request).await
            }
            Speaks::Transport(member) if transport::serves(request.uri().path()) => {
                match self.admitted(member.as_deref()) {
                    Ok(()) => Ok(transport::answer(self, request).await),
                    Err(error) => Err(error),
                }
            }
            _ => Err(Error::unsupported(format!("this proxy does not serve {} here", request.uri().path()))),
        };
        answered.unwrap_or_else(|error| {
            tracing::debug!(client = %self.ends.client, %error, "a gRPC call was refused");
            to_status(&error).into_http()
        })
    }

    /// Waits until the certificate ends that was shown.
    async fn is_over(&self) {
        match &self.speaks {
            Speaks::Transport(Some(member)) => self.proxy.ports.clock.sleep_until(member.until()).await,
            _ => std::future::pending().await,
        }
    }

    /// Asked on each call: certificates end, authorities are removed and locks are made while connections stand.
    fn admitted(&self, member: Option<&Member>) -> Result<(), Error> {
        let member = member.ok_or_else(|| {
            Error::denied("access denied: this call needs a client certificate of the cluster, valid now")
        })?;
        member.check(&self.proxy, self.ends).map_err(|why| Error::denied(format!("access denied: {why}")))
    }
}
