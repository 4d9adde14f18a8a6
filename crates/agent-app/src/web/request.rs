//! One request: checked, changed, carried on, and its answer changed on the way back.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, UPGRADE},
    uri::PathAndQuery,
};
use http_body_util::BodyExt as _;
use hyper::{
    body::{Body as _, Bytes, Frame, Incoming},
    upgrade::OnUpgrade,
};

use super::{
    Body, answer, cors, dumper, full,
    headers::{self, ASSERTION, Via},
    pool, upgrade,
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
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = answer_of(request, &via, guard, &served, tasks).await;
    guard.note_request(&method, uri.path(), response.status());
    response
}

async fn answer_of(
    mut request: Request<Incoming>,
    via: &Via,
    guard: &Guard,
    served: &Served,
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
    let asked = request.headers().clone();
    let client = hyper::upgrade::on(&mut request);
    let prepared = match prepare(request, via, guard, served).await {
        Ok(prepared) => prepared,
        Err(answer) => return *answer,
    };
    let mut response = match prepared.send(served, guard, via, client, tasks).await {
        Ok(response) => response,
        Err(answer) => return *answer,
    };
    let headers = response.headers_mut();
    app.rewrites().redirect(headers, app.target(), &via.host);
    if let Some(policy) = &app.document().spec.cors {
        cors::decorate(policy, &asked, headers);
    }
    response
}

/// An answer of ours instead of one of the application.
type Instead = Box<Response<Body>>;

/// A request as the application gets it.
struct Prepared {
    request: Request<Body>,
    is_grpc: bool,
    is_upgrade: bool,
    /// Whether asking twice is the same as asking once, and there is no body that was sent already.
    is_repeatable: bool,
}

async fn prepare(request: Request<Incoming>, via: &Via, guard: &Guard, served: &Served) -> Result<Prepared, Instead> {
    let (mut parts, body) = request.into_parts();
    let target = served.app.target();
    let headers = &mut parts.headers;
    let wanted = headers::strip_hop_by_hop(headers);
    headers::strip_reserved(headers);
    headers::set_forwarded(headers, via);
    let failed = |reason: &str| Box::new(answer::failure(StatusCode::BAD_GATEWAY, "agent", reason, via));
    let jwt = guard.assertion(&served.app).await.map_err(|error| {
        tracing::warn!(%error, app = served.app.name(), sid = guard.session().sid(), "no assertion for a request");
        failed("auth does not say who is calling")
    })?;
    let host = served.app.rewrites().apply(headers, guard.session(), jwt.expose());
    let mut assertion = HeaderValue::from_str(jwt.expose()).map_err(|_| failed("the assertion is none"))?;
    assertion.set_sensitive(true);
    headers.insert(ASSERTION, assertion);
    // Framed anew from what the body is, never from what the client wrote about it.
    let had_length = headers.remove(CONTENT_LENGTH).is_some();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0 || had_length) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    headers.remove(HOST);
    let is_grpc = parts.version == Version::HTTP_2
        && headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let is_upgrade = wanted.is_some() && parts.version == Version::HTTP_11;
    if let Some(protocol) = wanted.filter(|_| is_upgrade) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    let authority = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(&target.authority);
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    parts.uri = Uri::builder()
        .scheme(target.url_scheme())
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(|_| failed("the application's Host header is no host"))?;
    parts.version = if is_grpc { Version::HTTP_2 } else { Version::HTTP_11 };
    parts.extensions = http::Extensions::new();
    let is_repeatable = parts.method.is_safe() && body.is_end_stream() && !is_upgrade;
    let body = body.map_frame(without_reserved).map_err(Into::into).boxed_unsync();
    Ok(Prepared { request: Request::from_parts(parts, body), is_grpc, is_upgrade, is_repeatable })
}

impl Prepared {
    async fn send(
        self,
        served: &Served,
        guard: &Guard,
        via: &Via,
        client: OnUpgrade,
        tasks: &Tasks,
    ) -> Result<Response<Body>, Instead> {
        if served.app.target().scheme == Scheme::Dumper {
            return Ok(dumper::answer(&self.request));
        }
        let again = self.is_repeatable.then(|| copy(&self.request));
        let mut sent = served.pool.send(self.request, self.is_grpc).await;
        if let (Err(error), Some(request)) = (&sent, again)
            && !error.is_connect()
        {
            // The application closed a connection that was kept open; the client need not learn of it.
            sent = served.pool.send(request, self.is_grpc).await;
        }
        let mut response = sent.map_err(|error| Box::new(failure(&error, served, guard, via)))?;
        let is_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = headers::strip_hop_by_hop(response.headers_mut());
        strip_ours(response.headers_mut());
        if !is_switched {
            return Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()));
        }
        let Some(protocol) = protocol.filter(|_| self.is_upgrade) else {
            let reason = "the application switched protocols without having been asked to";
            return Err(Box::new(answer::failure(StatusCode::BAD_GATEWAY, "application", reason, via)));
        };
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, protocol);
        Ok(upgrade::bridge(client, response, tasks))
    }
}

/// What a client may not say before a body, it may not say after it either.
fn without_reserved(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        headers::strip_hop_by_hop(trailers);
        headers::strip_reserved(trailers);
    }
    frame
}

fn copy(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(full(""));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// An application must not speak in our name to the proxy.
fn strip_ours(headers: &mut HeaderMap) {
    let ours: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-teleport-") || **name == ASSERTION)
        .cloned()
        .collect();
    for name in ours {
        headers.remove(name);
    }
}

fn failure(error: &hyper_util::client::legacy::Error, served: &Served, guard: &Guard, via: &Via) -> Response<Body> {
    let app = served.app.name();
    let Some(dial) = pool::dial_error(error) else {
        let reason = crate::connection::chain(error);
        tracing::warn!(app, sid = guard.session().sid(), request = via.id, reason, "the application gave no answer");
        let reason = "the application closed the connection without an answer";
        return answer::failure(StatusCode::BAD_GATEWAY, "application", reason, via);
    };
    tracing::warn!(app, sid = guard.session().sid(), request = via.id, error = %dial, "the application cannot be reached");
    if let crate::dial::DialError::Blocked { resolved, blocked } = dial {
        guard.report(DialDenied::of(served, served.port, resolved, blocked));
    }
    answer::unreachable(dial, via)
}
