//! `/webapi/connectionupgrade`: our port within a plain HTTPS connection, for clients behind a balancer that ends TLS and
//! knows nothing of our protocols. What is inside is served like a connection of the port itself.
//!
//! Clients offer a WebSocket, raw bytes (`alpn`), or raw bytes in packets with pings between them (`alpn-ping`). Balancers
//! know WebSockets, so one is preferred where it is offered.

use std::{io, sync::Arc, time::Duration};

use clock::Clock;
use futures_util::future::{Either, select};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version,
    header::{CONNECTION, UPGRADE},
};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use net::packets;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};

use super::websocket;
use crate::{Proxy, applications::Visit, body::Body, door, ends::Ends, pages};

/// Balancers take `Upgrade` off; this one they leave.
const TELEPORT_UPGRADE: HeaderName = HeaderName::from_static("x-teleport-upgrade");

/// Bytes under way between the outer and the inner connection.
const BUFFER: usize = 64 * 1024;

/// Silence after which we send a ping: balancers cut connections that are silent for a minute.
const PING_EVERY: Duration = Duration::from_secs(30);

/// How long a client may take to read the last bytes, and to end its side.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// What is spoken inside.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    WebSocket(websocket::Offer),
    Raw,
    Packets,
}

impl Kind {
    /// What a client asks for.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let asked = [UPGRADE, TELEPORT_UPGRADE];
        let values = asked.iter().flat_map(|name| headers.get_all(name)).filter_map(|value| value.to_str().ok());
        let words: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        if let Some(offer) = websocket::Offer::of(headers, &words) {
            return Some(Self::WebSocket(offer));
        }
        let known = [("alpn-ping", Self::Packets), ("alpn", Self::Raw)];
        known.into_iter().find(|(word, _)| words.contains(word)).map(|(_, kind)| kind)
    }

    /// What the answer says.
    fn accept(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        let word = match self {
            Self::WebSocket(offer) => return offer.accept(headers),
            Self::Raw => "alpn",
            Self::Packets => "alpn-ping",
        };
        headers.insert(UPGRADE, HeaderValue::from_static(word));
        headers.insert(TELEPORT_UPGRADE, HeaderValue::from_static(word));
    }
}

/// Answers the request, and serves what follows in a task of its own.
pub(crate) fn answer(proxy: &Arc<Proxy>, visit: &Visit, mut request: Request<Incoming>) -> Response<Body> {
    let Some(kind) = Kind::of(request.headers()) else {
        return pages::refusal(
            StatusCode::BAD_REQUEST,
            "upgrade to websocket (version 13, protocol alpn or alpn-ping), alpn or alpn-ping",
        );
    };
    // One inside another, and another inside that, would cost us a connection each and the client one in all.
    if visit.ends.is_upgraded || request.version() != Version::HTTP_11 {
        return pages::refusal(StatusCode::BAD_REQUEST, "upgrade a connection of HTTP/1.1, and once only");
    }
    let accepted = kind.clone();
    let ends = Ends { is_upgraded: true, ..visit.source(proxy, request.headers()) };
    let upgrade = hyper::upgrade::on(&mut request);
    let (proxy, stop) = (Arc::clone(proxy), visit.stop.clone());
    let tasks = proxy.tasks.clone();
    tasks.spawn(async move {
        let outer = match upgrade.await {
            Ok(upgraded) => TokioIo::new(upgraded),
            Err(error) => return tracing::debug!(%error, "a connection upgrade broke before it began"),
        };
        let (near, far) = tokio::io::duplex(BUFFER);
        let clock = proxy.ports.clock.clone();
        let served = Box::pin(door::upgraded(proxy, Box::new(far), ends, stop));
        let carried = Box::pin(carry(kind, outer, near, &clock));
        // What is inside counts as what a connection of the port would, and ends when the bytes from outside do. Nobody
        // counts what is left outside once it has ended.
        let (carried, served) = match select(carried, served).await {
            Either::Left((carried, served)) => (carried, served.await),
            Either::Right((served, carried)) => {
                let carried = clock.timeout(LEAVES_WITHIN, carried).await;
                (carried.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())), served)
            }
        };
        if let Err(error) = carried {
            tracing::debug!(%error, "a connection upgrade broke");
        }
        if let Err(error) = served {
            tracing::debug!(error = &error as &dyn std::error::Error, "connection within an upgrade ended");
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    accepted.accept(response.headers_mut());
    response
}

async fn carry(
    kind: Kind,
    mut outer: impl AsyncRead + AsyncWrite + Unpin,
    mut inner: impl AsyncRead + AsyncWrite + Unpin,
    clock: &Clock,
) -> io::Result<()> {
    match kind {
        Kind::WebSocket(_) => return websocket::carry(outer, inner, PING_EVERY, clock).await,
        Kind::Raw => return copy_bidirectional(&mut outer, &mut inner).await.map(drop),
        Kind::Packets => {}
    }
    let (mut outer_read, mut outer_write) = tokio::io::split(outer);
    let (mut inner_read, mut inner_write) = tokio::io::split(inner);
    // Either end takes the other one along: there is no packet that says "no more".
    tokio::select! {
        unpacked = packets::unpack(&mut outer_read, &mut inner_write) => {
            inner_write.shutdown().await?;
            unpacked
        }
        packed = packets::pack(&mut inner_read, &mut outer_write, PING_EVERY, clock) => {
            outer_write.shutdown().await?;
            packed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_preferred_to_raw_bytes_and_half_a_websocket_is_none() {
        let kind = |values: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in values {
                headers.append(name, HeaderValue::from_static(value));
            }
            Kind::of(&headers)
        };
        assert_eq!(kind(&[(UPGRADE, "websocket"), (UPGRADE, "alpn-ping")]), Some(Kind::Packets));
        assert_eq!(kind(&[(UPGRADE, "websocket, alpn")]), Some(Kind::Raw));
        assert_eq!(kind(&[(TELEPORT_UPGRADE, "alpn")]), Some(Kind::Raw));
        assert_eq!(kind(&[(UPGRADE, "websocket")]), None);
        assert_eq!(kind(&[]), None);
    }
}
