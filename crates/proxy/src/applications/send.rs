//! One request to whichever agent takes it, and its answer. A request that no agent can have seen is sent again, as is
//! one that may be repeated when its connection breaks (RFC 9110 §9.2.2); an agent that restarts is waited for.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clock::Clock;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::Body as _;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::{
    agents::{Connected, NoWay, Purpose, candidates, connect},
    pool::{Key, SETTLES, Way},
};
use crate::{
    Proxy,
    body::{Body, RequestBody},
    sessions::Live,
    view::Server,
};

/// How long an agent that is gone is waited for: it re-dials within a second or two of its restart.
pub(super) const WAIT_FOR_AGENT: Duration = Duration::from_secs(4);

/// How often a request is sent again whose connection broke: what an agent dies of must not go round all of them.
const MOST_REPEATS: usize = 2;

/// Connections to one agent that are tried: pooled ones may have died while they waited.
const MOST_TRIES: usize = 8;

/// How often is looked whether it is back.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Unread bytes of one answer over HTTP/2.
const WINDOW: u32 = 1024 * 1024;

/// Read at once from an agent.
const BUFFER: usize = 64 * 1024;

/// A request, ready for any agent.
pub(crate) struct Outgoing {
    pub(crate) request: Request<RequestBody>,
    pub(crate) purpose: Purpose,
    pub(crate) source: SocketAddr,
    /// It begins another protocol: its connection carries nothing else.
    pub(crate) is_upgrade: bool,
}

/// A request that can be sent again, and how often.
struct Replay {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    left: usize,
}

impl Replay {
    /// Only what has no body: what was read of one is gone.
    fn of(request: &Request<RequestBody>, is_upgrade: bool) -> Option<Self> {
        let repeats = request.method().is_idempotent() && request.body().is_end_stream() && !is_upgrade;
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        repeats.then(|| Self { method: method.clone(), uri: uri.clone(), headers: headers.clone(), left: MOST_REPEATS })
    }

    fn next(&mut self) -> Option<Request<RequestBody>> {
        self.left = self.left.checked_sub(1)?;
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        Some(request)
    }
}

/// How a try ended.
enum Tried {
    Answered(Response<Body>),
    /// The agent cannot have seen it.
    Unsent(Request<RequestBody>),
    Failed(NoWay),
}

/// Sends a request to an agent that serves `app`.
pub(crate) async fn send(
    proxy: &Arc<Proxy>,
    live: &Live,
    app: &str,
    outgoing: Outgoing,
) -> Result<Response<Body>, NoWay> {
    let Outgoing { mut request, purpose, source, is_upgrade } = outgoing;
    let (until, deadline) = (proxy.ports.clock.monotonic() + WAIT_FOR_AGENT, proxy.config.limits.answer_deadline);
    let mut replay = Replay::of(&request, is_upgrade);
    loop {
        let mut last = NoWay::NoAgent;
        for server in candidates(proxy, app) {
            for _ in 0..MOST_TRIES {
                let way = match way(proxy, live, &server, purpose, source).await {
                    Ok(way) => way,
                    Err(error) => {
                        last = error;
                        break;
                    }
                };
                match way.send(&proxy.ports.clock, deadline, request, is_upgrade).await {
                    Tried::Answered(answer) => return Ok(answer),
                    Tried::Unsent(unsent) => {
                        request = unsent;
                        last = NoWay::Unsent;
                    }
                    // By another agent: one that does not take the session's certificate breaks the connection after
                    // the handshake, as we see it. Not for one that was late: it would be waited for as long once more.
                    Tried::Failed(error) => {
                        let is_broken = matches!(error, NoWay::Broken(_));
                        match replay.as_mut().filter(|_| is_broken).and_then(Replay::next) {
                            Some(again) => (request, last) = (again, error),
                            None => return Err(error),
                        }
                        break;
                    }
                }
            }
        }
        if !last.may_pass() || proxy.ports.clock.monotonic() >= until {
            return Err(last);
        }
        proxy.ports.clock.sleep(LOOK_AGAIN).await;
    }
}

async fn way(
    proxy: &Arc<Proxy>,
    live: &Live,
    server: &Arc<Server>,
    purpose: Purpose,
    source: SocketAddr,
) -> Result<Way, NoWay> {
    let key = Key::new(live.key, &server.host_id, source);
    if purpose == Purpose::Http2
        && let Some(shared) = proxy.pool.take_http2(&key)
    {
        return Ok(Way::Http2(shared));
    }
    if purpose == Purpose::Http
        && let Some(lease) = proxy.pool.take(&key)
    {
        return Ok(Way::Http1(lease));
    }
    let Connected { io, place } = Box::pin(connect(proxy, live, server, purpose, source)).await?;
    if purpose == Purpose::Http2 {
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * 4)
            .handshake(TokioIo::new(io));
        let (sender, connection) = handshake.await.map_err(NoWay::Broken)?;
        proxy.tasks.spawn(async move { drop(connection.await) });
        return Ok(Way::Http2(proxy.pool.put_http2(key, sender, place)));
    }
    let handshake = http1::Builder::new().max_buf_size(BUFFER * 4).handshake(TokioIo::new(io));
    let (sender, connection) = handshake.await.map_err(NoWay::Broken)?;
    proxy.tasks.spawn(async move { drop(connection.with_upgrades().await) });
    Ok(Way::Http1(proxy.pool.lease(key, sender, place)))
}

impl Way {
    async fn send(
        mut self,
        clock: &Clock,
        deadline: Duration,
        request: Request<RequestBody>,
        is_upgrade: bool,
    ) -> Tried {
        // An upload takes as long as it takes; the agent answers for the application after it.
        let limit = request.body().is_end_stream().then_some(deadline);
        let sent = match &mut self {
            Self::Http1(lease) => {
                let settles = if lease.is_new { limit } else { Some(SETTLES) };
                if !matches!(within(clock, settles, lease.sender.ready()).await, Some(Ok(()))) {
                    return Tried::Unsent(request);
                }
                within(clock, limit, lease.sender.try_send_request(request)).await
            }
            Self::Http2(shared) => {
                if shared.sender.ready().await.is_err() {
                    return Tried::Unsent(request);
                }
                within(clock, limit, shared.sender.try_send_request(request)).await
            }
        };
        Tried::of(sent, (!is_upgrade).then_some(self))
    }
}

async fn within<T>(clock: &Clock, limit: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match limit {
        Some(limit) => clock.timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}

type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

impl Tried {
    fn of(sent: Option<Sent>, way: Option<Way>) -> Self {
        match sent {
            None => Self::Failed(NoWay::Late),
            Some(Ok(answer)) => Self::Answered(answer.map(|body| Body::Agent(body, way, None))),
            Some(Err(mut error)) => match error.take_message() {
                Some(request) => Self::Unsent(request),
                None => Self::Failed(NoWay::Broken(error.into_error())),
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test's task ends with its runtime")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::applications::{
        places::{Holder, Places},
        pool::Pool,
    };

    /// Sends over a connection that takes three times what a waiting one may, until it can carry something.
    async fn over_a_slow_one(is_new: bool) -> Tried {
        let clock = Clock::system();
        let (near, mut far) = tokio::io::duplex(4096);
        let (sender, connection) = http1::handshake(TokioIo::new(near)).await.unwrap();
        tokio::spawn(async move {
            tokio::time::sleep(SETTLES * 3).await;
            connection.await
        });
        tokio::spawn(async move {
            let _ = far.read(&mut [0; 1024]).await;
            far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await
        });
        let place = Arc::<Places>::default().take(&Holder::user("alice"), &"agent".into()).unwrap();
        let key = Key::new([0; 32], &"agent".into(), ([127, 0, 0, 1], 1).into());
        let mut lease = Pool::new(clock.clone()).lease(key, sender, place);
        lease.is_new = is_new;
        Way::Http1(lease).send(&clock, Duration::from_secs(8), Request::new(RequestBody::Empty), false).await
    }

    #[tokio::test]
    async fn a_new_connection_is_waited_for_longer_than_one_that_has_been_used() {
        assert!(matches!(over_a_slow_one(true).await, Tried::Answered(_)));
        assert!(matches!(over_a_slow_one(false).await, Tried::Unsent(_)));
    }
}
