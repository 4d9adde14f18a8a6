//! One request: checked, changed, carried on, and its answer changed on the way back.

use std::sync::Arc;

use http::{
    Extensions, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TE, UPGRADE},
    uri::{self, PathAndQuery},
};
use hyper::{
    body::{Body as _, Incoming},
    upgrade::OnUpgrade,
};

use super::{
    Body, answer,
    body::{Progress, Upload},
    cors, dumper, full,
    headers::{self, ASSERTION, Via},
    pool,
    send::{ANSWER_WITHIN, Failed, send},
    upgrade,
};
use crate::{connection::Tasks, guard::Guard, ports::DialDenied, registry::Served, target::Scheme};

/// Answers a request of a session. What goes wrong is an answer, too.
pub(crate) async fn handle(request: Request<Incoming>, guard: &Guard, tasks: &Tasks) -> Response<Body> {
    let via = Via::read(request.headers(), request.uri().authority().map(|host| host.as_str()), guard.source());
    let served = match guard.check().await {
        Ok((served, _)) => served,
        Err(refusal) => {
            guard.log_refusal(&refusal);
            return answer::refused(&refusal, &via);
        }
    };
    let (method, path) = (request.method().clone(), request.uri().path_and_query().cloned());
    let response = answer_of(request, &via, guard, &served, tasks).await;
    guard.note_request(&method, path.as_ref().map_or("", PathAndQuery::path), response.status());
    response
}

async fn answer_of(
    request: Request<Incoming>,
    via: &Via,
    guard: &Guard,
    served: &Arc<Served>,
    tasks: &Tasks,
) -> Response<Body> {
    let app = &served.app;
    if request.method() == Method::CONNECT || app.is_tcp() {
        return answer::failure(StatusCode::BAD_REQUEST, "agent", "the application does not speak HTTP", via);
    }
    if let Some(landing) = &app.target().landing
        && request.uri().path_and_query().is_none_or(|path| path.as_str() == "/")
        && matches!(*request.method(), Method::GET | Method::HEAD)
    {
        return answer::landing(landing, via);
    }
    let policy = app.document().spec.cors.as_ref();
    let origin = policy.and_then(|_| request.headers().get(ORIGIN).cloned());
    let prepared = match prepare(request, via, guard, served).await {
        Ok(prepared) => prepared,
        Err(answer) => return *answer,
    };
    let mut response = match prepared.send(served, guard, via, tasks).await {
        Ok(response) => response,
        Err(answer) => return *answer,
    };
    let headers = response.headers_mut();
    app.rewrites().redirect(headers, app.target(), via.host());
    if let Some(policy) = policy {
        cors::decorate(policy, origin.as_ref(), headers);
    }
    response
}

/// An answer of ours instead of one of the application.
type Instead = Box<Response<Body>>;

/// A request as the application gets it.
struct Prepared {
    request: Request<Body>,
    is_grpc: bool,
    /// The client's connection, when both sides are to speak something else from here on.
    upgrade: Option<OnUpgrade>,
    /// Whether asking twice is the same as asking once, and there is no body that was sent already.
    is_repeatable: bool,
    /// Of the body, when the answer is waited for no longer than [`ANSWER_WITHIN`] after it.
    progress: Option<Arc<Progress>>,
}

async fn prepare(
    request: Request<Incoming>,
    via: &Via,
    guard: &Guard,
    served: &Arc<Served>,
) -> Result<Prepared, Instead> {
    let (mut parts, body) = request.into_parts();
    let target = served.app.target();
    let headers = &mut parts.headers;
    let wanted = (parts.version == Version::HTTP_11).then(|| headers::upgrade(headers)).flatten();
    headers::strip_hop_by_hop(headers);
    via.tell(headers);
    let failed = |reason: &str| Box::new(answer::failure(StatusCode::BAD_GATEWAY, "agent", reason, via));
    let assertion = guard.assertion(served).await.map_err(|error| {
        tracing::warn!(%error, app = served.app.name(), sid = guard.session().sid(), "no assertion for a request");
        failed("auth does not say who is calling")
    })?;
    let host = served.app.rewrites().apply(headers, guard.session(), &assertion);
    headers.insert(ASSERTION, assertion);
    // Framed anew from what the body is, never from what the client wrote about it.
    let had_length = headers.remove(CONTENT_LENGTH).is_some();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0 || had_length) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let is_grpc = parts.version == Version::HTTP_2
        && headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let is_upgrade = wanted.is_some();
    if let Some(protocol) = wanted {
        headers.remove(TE);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    } else if !is_grpc && headers.contains_key(TE) {
        // In HTTP/1.1 it is about one connection, and says so (RFC 9110 §10.1.4).
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    // In HTTP/2 no connection is authenticated.
    if !is_grpc && headers::authenticates_connection(headers) {
        headers.append(CONNECTION, HeaderValue::from_static("close"));
    }
    // HTTP/2 says it in the address.
    match &host {
        None if !is_grpc => drop(headers.insert(HOST, target.host_header.clone())),
        _ => drop(headers.remove(HOST)),
    }
    let no_host = || failed("the application's Host header is no host");
    let authority = match host.as_ref().and_then(|host| host.to_str().ok()) {
        Some(host) => host.parse().map_err(|_| no_host())?,
        None => target.authority.clone(),
    };
    let mut address = uri::Parts::default();
    address.scheme = Some(target.url_scheme());
    address.authority = Some(authority);
    address.path_and_query =
        Some(parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    parts.uri = Uri::from_parts(address).map_err(|_| no_host())?;
    parts.version = if is_grpc { Version::HTTP_2 } else { Version::HTTP_11 };
    let upgrade = is_upgrade.then(|| parts.extensions.remove::<OnUpgrade>()).flatten();
    parts.extensions = Extensions::new();
    let is_repeatable = parts.method.is_safe() && body.is_end_stream() && !is_upgrade;
    if body.is_end_stream() {
        let request = Request::from_parts(parts, full(""));
        return Ok(Prepared { request, is_grpc, upgrade, is_repeatable, progress: None });
    }
    let body = Upload::new(body, served, guard.clock());
    // A call of gRPC may say nothing for as long as it likes, and has a deadline of its own if it wants one.
    let progress = (!is_grpc && !is_upgrade).then(|| body.progress());
    let request = Request::from_parts(parts, Body::Upload(body));
    Ok(Prepared { request, is_grpc, upgrade, is_repeatable, progress })
}

impl Prepared {
    async fn send(self, served: &Served, guard: &Guard, via: &Via, tasks: &Tasks) -> Result<Response<Body>, Instead> {
        if served.app.target().scheme == Scheme::Dumper {
            return Ok(dumper::answer(&self.request));
        }
        let (pool, clock, is_grpc) = (&served.pool, guard.clock(), self.is_grpc);
        let again = self.is_repeatable.then(|| copy(&self.request));
        let mut sent = send(pool, clock, self.request, is_grpc, self.progress.as_deref()).await;
        if let (Err(Failed::Broken(error)), Some(request)) = (&sent, again)
            && !error.is_connect()
        {
            // The application closed a connection that was kept open; the client need not learn of it.
            sent = send(pool, clock, request, is_grpc, None).await;
        }
        let mut response = sent.map_err(|error| Box::new(no_answer(&error, served, guard, via)))?;
        let is_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = is_switched.then(|| headers::upgrade(response.headers())).flatten();
        headers::strip_hop_by_hop(response.headers_mut());
        headers::strip_ours(response.headers_mut());
        if !is_switched {
            return Ok(response.map(Body::Answer));
        }
        let (Some(protocol), Some(client)) = (protocol, self.upgrade) else {
            let reason = "the application switched protocols without having been asked to";
            return Err(Box::new(answer::failure(StatusCode::BAD_GATEWAY, "application", reason, via)));
        };
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, protocol);
        Ok(upgrade::bridge(client, response, tasks))
    }
}

fn copy(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(full(""));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// What the client is told when the application has not answered.
fn no_answer(error: &Failed, served: &Served, guard: &Guard, via: &Via) -> Response<Body> {
    let (status, reason) = match error {
        Failed::Broken(error) => return failure(error, served, guard, via),
        Failed::Late => {
            let waited = ANSWER_WITHIN.as_secs();
            let reason = format!("the application gave no answer within {waited} s of the last byte of the request");
            (StatusCode::GATEWAY_TIMEOUT, reason)
        }
        Failed::Interim => (StatusCode::BAD_GATEWAY, "the application sent interim answers only".to_owned()),
    };
    tracing::warn!(app = served.app.name(), sid = guard.session().sid(), request = via.id(), reason);
    answer::failure(status, "application", &reason, via)
}

fn failure(error: &hyper_util::client::legacy::Error, served: &Served, guard: &Guard, via: &Via) -> Response<Body> {
    let app = served.app.name();
    let Some(dial) = pool::dial_error(error) else {
        let reason = crate::connection::chain(error);
        tracing::warn!(app, sid = guard.session().sid(), request = via.id(), reason, "the application gave no answer");
        let reason = "the application closed the connection without an answer";
        return answer::failure(StatusCode::BAD_GATEWAY, "application", reason, via);
    };
    tracing::warn!(app, sid = guard.session().sid(), request = via.id(), error = %dial, "the application cannot be reached");
    if let crate::dial::DialError::Blocked { resolved, blocked } = dial {
        guard.report(DialDenied::of(served, served.port, resolved, blocked));
    }
    answer::unreachable(dial, via)
}
