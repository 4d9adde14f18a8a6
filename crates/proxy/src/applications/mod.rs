//! Requests to applications: who may, where the application is, and what goes there.

pub(crate) mod agents;
pub(crate) mod credential;
pub(crate) mod mismatches;
pub(crate) mod places;
pub(crate) mod pool;
mod preflight;
pub(crate) mod running;
mod send;
pub(crate) mod tcp;
mod upgrade;

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{ACCEPT, CONNECTION, CONTENT_TYPE, UPGRADE},
    uri::PathAndQuery,
};
use http_body::Body as _;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tunnel::headers::HOP;

use self::{
    agents::{NoWay, Purpose},
    credential::Shown,
    places::Full,
    running::Requests,
    send::{Outgoing, send},
};
use crate::{
    Proxy,
    body::{Body, RequestBody},
    ends::Ends,
    hygiene::{self, Target},
    pages,
    web::launch,
};

/// The most that is read of an agent's reason for a 502 or 504.
const MAX_REASON: usize = 4 * 1024;

/// What is known of the connection that a request came over.
pub(crate) struct Visit {
    pub(crate) ends: Ends,
    /// The name that the connection was opened for.
    pub(crate) server_name: Option<String>,
    /// The certificate that the client has shown.
    pub(crate) shown: Option<Arc<Shown>>,
    /// It is one of ours, and good: anybody can make one.
    pub(crate) is_known: bool,
    /// Asks what the connection carries to come to its end.
    pub(crate) stop: CancellationToken,
    /// Requests to applications that run.
    pub(crate) requests: Arc<Requests>,
}

impl Visit {
    /// Where a request comes from, by the word of the balancer before us where that is believed. What is inside an upgrade
    /// passes the balancer unread: a header there is the client's own, and the upgrade's has said where it is.
    pub(crate) fn source(&self, proxy: &Proxy, headers: &HeaderMap) -> Ends {
        if !proxy.config.trust_x_forwarded_for || self.ends.is_upgraded {
            return self.ends;
        }
        let client = hygiene::client_behind(headers, self.ends.client);
        // The port 0: the balancer itself is where anybody can have said.
        let counted = if client.port() == 0 { self.ends.counted } else { client.ip() };
        Ends { client, counted, ..self.ends }
    }
}

/// Answers a request to an application.
pub(crate) async fn answer(
    proxy: &Arc<Proxy>,
    visit: &Visit,
    target: Target,
    request: Request<Incoming>,
) -> Response<Body> {
    if request.method() == Method::TRACE {
        return pages::plain(StatusCode::METHOD_NOT_ALLOWED, "TRACE is not passed on\n");
    }
    let asked = (target.host.clone(), request.uri().clone());
    let login = || launch::redirect(proxy, &asked.0, &asked.1);
    let app = proxy.view.app_of(&target.host);
    if preflight::is_preflight(&request) {
        let servers = app.map(|app| proxy.view.servers_of(&app)).unwrap_or_default();
        return preflight::answer(servers.iter().find_map(|server| server.cors.as_ref()), request.headers());
    }
    let Some(app) = app else { return login() };
    let id = proxy.ports.random.hex(8);
    let wants_html = prefers_html(&request);
    let (credential, live, running) = match visit.requests.begin(proxy, visit, &app, request.headers()).await {
        Ok(found) => found,
        Err(refused) => {
            if let Some(error) = refused.silence() {
                tracing::warn!(app, request = id, %error, "it cannot be asked if there is a session");
                let reason = "it has not said whether there is a session";
                let hop = "between the proxy and the auth service";
                let mut page = pages::hop(StatusCode::SERVICE_UNAVAILABLE, &app, &id, hop, reason, wants_html);
                page.headers_mut().insert(HOP, HeaderValue::from_static("auth"));
                return page;
            }
            tracing::debug!(app, client = %visit.ends.client, reason = &refused as &dyn Error, "led to the login page");
            return login();
        }
    };
    let is_broken = Arc::default();
    let (outgoing, client) = outgoing(proxy, visit, target, request, &id, &is_broken);
    let is_upgrade = client.is_some();
    let mut answer = match send(proxy, &live, &app, outgoing).await {
        Ok(answer) => answer,
        Err(error) if is_broken.load(Ordering::Relaxed) => {
            tracing::debug!(app, request = id, error = &error as &dyn Error, "the client broke off its request's body");
            return pages::plain(StatusCode::BAD_REQUEST, "the request's body is malformed\n");
        }
        Err(error) => {
            tracing::warn!(app, request = id, error = &error as &dyn Error, "a request got no answer");
            return pages::no_answer(&app, &id, &error, wants_html);
        }
    };
    if answer.headers().contains_key(HOP) {
        return from_hop(proxy, answer, &live.key, login, Failure { app: &app, id: &id, wants_html }).await;
    }
    match (answer.status(), client) {
        (StatusCode::SWITCHING_PROTOCOLS, Some(client)) => {
            upgrade::carry(proxy, credential, app, client, &mut answer);
            answer.map(|_| Body::empty())
        }
        (StatusCode::SWITCHING_PROTOCOLS, None) => {
            tracing::warn!(app, request = id, is_upgrade, "the application changed the protocol unasked");
            pages::plain(StatusCode::BAD_GATEWAY, "the application changed the protocol unasked\n")
        }
        _ => {
            hygiene::strip_hop_by_hop(answer.headers_mut());
            *answer.version_mut() = Version::HTTP_11;
            answer.map(|body| body.while_running(running))
        }
    }
}

/// The client's request as the agent gets it, and the client's half of an upgrade. `is_broken` hears of a body that is.
fn outgoing(
    proxy: &Proxy,
    visit: &Visit,
    target: Target,
    mut request: Request<Incoming>,
    id: &str,
    is_broken: &Arc<AtomicBool>,
) -> (Outgoing, Option<hyper::upgrade::OnUpgrade>) {
    let protocol = hygiene::upgrade(request.headers()).filter(|_| request.version() == Version::HTTP_11);
    let client = protocol.is_some().then(|| hyper::upgrade::on(&mut request));
    let trailers = hygiene::reads_trailers(request.headers());
    let is_http2 = request.version() == Version::HTTP_2;
    let (mut parts, body) = request.into_parts();
    let source = visit.source(proxy, &parts.headers).client;
    hygiene::to_agent(&mut parts.headers, trailers);
    if let Some(protocol) = protocol {
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        parts.headers.insert(UPGRADE, protocol);
    }
    let public = proxy.config.public_addresses.first().map_or(443, |address| address.port);
    parts.headers.insert(http::header::HOST, target.authority.clone());
    hygiene::say_forwarded(&mut parts.headers, source.ip(), target.authority, public);
    if let Ok(id) = HeaderValue::from_str(id) {
        parts.headers.insert(hygiene::REQUEST_ID, id);
    }
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let purpose = if is_http2 && trailers { Purpose::Http2 } else { Purpose::Http };
    let body = match body.is_end_stream() {
        true => RequestBody::Empty,
        false => RequestBody::Client(body, Arc::clone(is_broken)),
    };
    let mut onward = Request::new(body);
    *onward.method_mut() = parts.method;
    *onward.uri_mut() = Uri::from(path);
    *onward.headers_mut() = parts.headers;
    (Outgoing { request: onward, purpose, source, is_upgrade: client.is_some() }, client)
}

fn prefers_html<B>(request: &Request<B>) -> bool {
    request.headers().get(ACCEPT).is_some_and(|accept| accept.as_bytes().windows(9).any(|part| part == b"text/html"))
}

/// What an error page names.
struct Failure<'a> {
    app: &'a str,
    id: &'a str,
    wants_html: bool,
}

/// An answer of the agent's own.
async fn from_hop(
    proxy: &Proxy,
    mut answer: Response<Body>,
    session: &[u8; 32],
    login: impl FnOnce() -> Response<Body>,
    failure: Failure<'_>,
) -> Response<Body> {
    let hop = answer.headers_mut().remove(HOP);
    let is_session = hop.as_ref().is_some_and(|hop| hop.as_bytes() == b"session");
    match answer.status() {
        StatusCode::UNAUTHORIZED if is_session => {
            proxy.sessions.forget(session);
            proxy.pool.clear(Some(session));
            login()
        }
        status @ (StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT) => {
            let reason = Limited::new(answer.into_body(), MAX_REASON).collect().await;
            let reason = reason.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
            tracing::warn!(app = failure.app, request = failure.id, reason, "the agent got no answer");
            pages::hop(
                status,
                failure.app,
                failure.id,
                "between the agent and the application",
                &reason,
                failure.wants_html,
            )
        }
        status => {
            hygiene::strip_hop_by_hop(answer.headers_mut());
            // To the holder of a certificate it says that a newer one may be let in, or that the cluster may be able to decide
            // in a moment: applications cannot say it.
            if matches!(status, StatusCode::FORBIDDEN | StatusCode::SERVICE_UNAVAILABLE)
                && let Some(hop) = hop
            {
                answer.headers_mut().insert(HOP, hop);
            }
            answer.headers_mut().entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain; charset=utf-8"));
            answer
        }
    }
}

impl NoWay {
    /// The answer's status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Late | Self::Tunnel(tunnel::OpenError::TooSlow(_)) => StatusCode::GATEWAY_TIMEOUT,
            Self::Full(Full::OfUser) => StatusCode::TOO_MANY_REQUESTS,
            Self::Full(Full::OfAll) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Between whom it failed.
    pub(crate) fn hop(&self) -> &'static str {
        match self {
            Self::NoAgent | Self::Full(_) | Self::Ours(_) => "at the proxy",
            Self::Tunnel(_) | Self::Handshake(_) | Self::Broken(_) | Self::Unsent => "between the proxy and the agent",
            Self::Late => "behind the proxy",
        }
    }
}
