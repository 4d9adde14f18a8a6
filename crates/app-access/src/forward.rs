//! One request of a local program, carried to its application.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use clock::Clock;
use domain::{Error, error::Kind};
use http::{
    Method, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, HOST},
    request::Parts,
    uri::Scheme,
};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Body as _, body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;

use crate::{
    Access, Door, Keyring,
    access::{Body, BoxError},
    browser, headers,
    listener::Reach,
    serve::Tasks,
};

/// Between attempts of a request that may be repeated: a proxy or agent that restarts is back within them.
const WAITS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(1), Duration::from_secs(3)];

/// Marks the proxy's own redirect to its login page.
const LOGIN: http::HeaderName = http::HeaderName::from_static("x-teleport-login");

/// Carries requests.
pub(crate) struct Forwarder {
    pub(crate) door: Door,
    pub(crate) keyring: Arc<dyn Keyring>,
    pub(crate) clock: Clock,
    pub(crate) reach: Reach,
}

/// What a request is, once its way is known: sent once when it brings a body or changes something.
enum Sending {
    Once(Box<Request<Incoming>>),
    Repeatable(Box<Parts>),
}

impl Forwarder {
    /// The application's answer, or a page that says which hop failed.
    pub(crate) async fn answer(&self, request: Request<Incoming>, tasks: &Tasks) -> Response<Body> {
        match self.carry(request, tasks).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::info!(%error, "a request did not reach its application");
                page(&error)
            }
        }
    }

    async fn carry(&self, mut request: Request<Incoming>, tasks: &Tasks) -> Result<Response<Body>, Error> {
        let app = self.application(&request)?;
        if matches!(self.door, Door::Tunnel(_)) && self.reach != Reach::Socket {
            let access = self.keyring.access(&app).await.ok();
            let public_name = access.as_ref().map(|access| access.public_name());
            browser::check(&request, self.reach == Reach::Machine, public_name)?;
        }
        let wants = headers::upgrade(request.headers()).map(|_| hyper::upgrade::on(&mut request));
        let answer = self.deliver(&app, request).await?;
        Ok(finish(answer, wants, tasks))
    }

    /// The application that a request is for.
    fn application(&self, request: &Request<Incoming>) -> Result<String, Error> {
        if let Door::Tunnel(app) = &self.door {
            return Ok(app.clone());
        }
        if request.method() == Method::CONNECT {
            let message = "this proxy leads to applications by http:// only; the way to them is encrypted all the same";
            return Err(Error::unsupported(message));
        }
        let named = request.uri().authority().map(|authority| authority.host().to_owned()).or_else(|| {
            let host = request.headers().get(HOST)?.to_str().ok()?;
            Some(host.rsplit_once(':').map_or(host, |(host, _)| host).to_owned())
        });
        named
            .filter(|name| !name.is_empty())
            // RFC 3986 §3.2.2.
            .map(|name| name.to_ascii_lowercase())
            .ok_or_else(|| Error::invalid("the request names no host, and so no application"))
    }

    async fn deliver(&self, app: &str, request: Request<Incoming>) -> Result<Response<Incoming>, Error> {
        let mut sending = Sending::new(request);
        let mut waits = WAITS.iter();
        let mut is_renewed = false;
        loop {
            let access = self.keyring.access(app).await?;
            if access.is_tcp() {
                return Err(Error::unsupported(format!("application {app:?} speaks no HTTP: use a tunnel to it")));
            }
            let (request, again) = sending.next(&access)?;
            let outcome = access.send(request).await;
            match (outcome, again) {
                (Ok(answer), again) if is_login(&answer) => {
                    self.keyring.discard(&access).await;
                    sending = match again {
                        Some(again) if !is_renewed => again,
                        _ => return Err(ended(app)),
                    };
                    is_renewed = true;
                }
                (Err(error), Some(again)) if error.kind == Kind::Unavailable => {
                    let Some(wait) = waits.next() else { return Err(error) };
                    self.clock.sleep(*wait).await;
                    sending = again;
                }
                (outcome, _) => return outcome,
            }
        }
    }
}

impl Sending {
    fn new(request: Request<Incoming>) -> Self {
        let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if is_safe && request.body().is_end_stream() {
            Self::Repeatable(Box::new(request.into_parts().0))
        } else {
            Self::Once(Box::new(request))
        }
    }

    /// The request for this way, and what is left for another attempt.
    fn next(self, access: &Access) -> Result<(Request<Body>, Option<Self>), Error> {
        match self {
            Self::Once(request) => {
                let (parts, body) = request.into_parts();
                let body = body.map_err(|error| Box::new(error) as BoxError).boxed_unsync();
                Ok((address(parts, body, access)?, None))
            }
            Self::Repeatable(parts) => {
                let mut copy = Request::new(()).into_parts().0;
                (copy.method, copy.uri, copy.version) = (parts.method.clone(), parts.uri.clone(), parts.version);
                copy.headers.clone_from(&parts.headers);
                let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
                Ok((address(copy, body, access)?, Some(Self::Repeatable(parts))))
            }
        }
    }
}

/// Puts the application's own address on a request.
fn address(mut parts: Parts, body: Body, access: &Access) -> Result<Request<Body>, Error> {
    headers::strip(&mut parts.headers);
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme(Scheme::HTTPS).authority(access.authority().clone()).path_and_query(path);
    parts.uri = uri.build().map_err(|error| Error::invalid(format!("the address of the request: {error}")))?;
    if parts.version == http::Version::HTTP_10 {
        parts.version = http::Version::HTTP_11;
    }
    Ok(Request::from_parts(parts, body))
}

/// The proxy sends those whose certificate it does not take to the login page. It says so in a header that agents take off
/// what applications say.
fn is_login(answer: &Response<Incoming>) -> bool {
    answer.status().is_redirection() && answer.headers().contains_key(LOGIN)
}

fn ended(app: &str) -> Error {
    Error::denied(format!(
        "the proxy does not take the certificate for application {app:?}: its session has ended, the identity is locked, or \
         its roles do not allow it any more. A request in a few seconds brings a new one"
    ))
}

/// Passes the answer on; after a switch of protocols the bytes are carried both ways, as long as both ends want.
fn finish(mut answer: Response<Incoming>, wants: Option<OnUpgrade>, tasks: &Tasks) -> Response<Body> {
    if let (StatusCode::SWITCHING_PROTOCOLS, Some(here)) = (answer.status(), wants) {
        let there = hyper::upgrade::on(&mut answer);
        tasks.run(async move {
            if let (Ok(here), Ok(there)) = (here.await, there.await) {
                let (mut here, mut there) = (TokioIo::new(here), TokioIo::new(there));
                // Whoever hangs up first has said all there is to say.
                let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
            }
        });
    }
    headers::strip(answer.headers_mut());
    answer.map(|body| body.map_err(|error| Box::new(error) as BoxError).boxed_unsync())
}

fn page(error: &Error) -> Response<Body> {
    let status = match error.kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::BAD_GATEWAY,
    };
    let text = format!("{}\n", error.message);
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
