//! One request of a local program, carried to its application.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use clock::Clock;
use crypto::Random;
use domain::{Error, error::Kind};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri,
    header::{CONNECTION, HOST, UPGRADE},
    request::Parts,
    uri::{Authority, Scheme},
};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Body as _, body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use tunnel::headers::{self, HOP};

use crate::{
    Access, Door, Keyring,
    access::{Body, BoxError},
    browser,
    failure::{Failure, Hop},
    listener::Reach,
    serve::Tasks,
};

/// Between attempts of a request that may be repeated: a proxy or agent that restarts is back within them.
const WAITS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_secs(1), Duration::from_secs(3)];

/// Marks the proxy's own redirect to its login page.
const LOGIN: http::HeaderName = http::HeaderName::from_static("x-teleport-login");

/// How long a request or connection waits for a certificate; whoever asks next may find it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Carries requests.
pub(crate) struct Forwarder {
    pub(crate) door: Door,
    pub(crate) keyring: Arc<dyn Keyring>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) reach: Reach,
}

/// What a request is, once its way is known: sent once when it brings a body or changes something.
enum Sending {
    Once(Box<Request<Incoming>>),
    Repeatable(Box<Parts>),
}

impl Forwarder {
    /// The application's answer, or a page that says which hop failed. `known` is what is known to have failed already.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        tasks: &Tasks,
        known: Option<Failure>,
    ) -> Response<Body> {
        let outcome = match known {
            Some(failure) => Err(failure),
            None => self.carry(request, tasks).await,
        };
        outcome.unwrap_or_else(|failure| {
            let id = self.random.hex(8);
            tracing::warn!(request = id, error = %failure, "a request did not reach its application");
            failure.page(&id)
        })
    }

    /// The way to an application, if it is there soon.
    pub(crate) async fn access(&self, app: &str) -> Result<Arc<Access>, Failure> {
        self.soon(app, self.keyring.access(app)).await
    }

    async fn soon(
        &self,
        app: &str,
        coming: impl Future<Output = Result<Arc<Access>, Error>>,
    ) -> Result<Arc<Access>, Failure> {
        match self.clock.timeout(PATIENCE, coming).await {
            Ok(outcome) => outcome.map_err(|error| Hop::Certificate.failure(error)),
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                Err(Hop::Certificate.late(format!("no certificate for application {app:?} within {seconds} s")))
            }
        }
    }

    async fn carry(&self, mut request: Request<Incoming>, tasks: &Tasks) -> Result<Response<Body>, Failure> {
        let here = |error| Hop::Here.failure(error);
        let app = self.application(&request).map_err(here)?;
        let (is_proxy, is_socket) = (self.door == Door::Proxy, self.reach == Reach::Socket);
        if is_proxy && !is_socket {
            browser::to_proxy(&request).map_err(here)?;
        }
        let access = self.access(&app).await;
        if !is_proxy && !is_socket {
            let public_name = access.as_ref().ok().map(|access| access.public_name());
            browser::to_tunnel(&request, self.reach == Reach::Machine, public_name).map_err(here)?;
        }
        let access = access?;
        let wants = headers::upgrade(request.headers()).map(|_| hyper::upgrade::on(&mut request));
        let answer = self.deliver(&app, access, request).await?;
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
        let asked = browser::asked(request).filter(|asked| browser::is_application(asked));
        asked
            .and_then(|asked| asked.parse::<Authority>().ok())
            // RFC 3986 §3.2.2.
            .map(|asked| asked.host().to_ascii_lowercase())
            .ok_or_else(|| {
                Error::invalid(
                    "the request names no application as its host: use this listener as a proxy (curl --proxy)",
                )
            })
    }

    async fn deliver(
        &self,
        app: &str,
        mut access: Arc<Access>,
        request: Request<Incoming>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut sending = Sending::new(request);
        let mut waits = WAITS.iter();
        let mut is_renewed = false;
        loop {
            if access.is_tcp() {
                let error = Error::unsupported(format!("application {app:?} speaks no HTTP: use a tunnel to it"));
                return Err(Hop::Here.failure(error));
            }
            let (request, again) = sending.next(&access).map_err(|error| Hop::Here.failure(error))?;
            match (access.send(request).await, again) {
                (Ok(answer), again) if is_refusal(&answer) => {
                    let next = match (self.keyring.discard(&access), &again) {
                        (Some(next), Some(_)) if !is_renewed => Some(self.soon(app, next).await),
                        _ => None,
                    };
                    is_renewed = true;
                    match (next, again) {
                        (Some(Ok(next)), Some(again)) => (access, sending) = (next, again),
                        (next, _) if answer.headers().contains_key(LOGIN) => {
                            return Err(next.and_then(Result::err).unwrap_or_else(|| ended(app)));
                        }
                        _ => return Ok(answer),
                    }
                }
                (Ok(answer), Some(again)) if is_undecided(&answer) => {
                    let Some(wait) = waits.next() else { return Ok(answer) };
                    self.clock.sleep(*wait).await;
                    (access, sending) = (self.access(app).await?, again);
                }
                // Who has been silent for long is not back for the asking.
                (Err(failure), Some(again)) if failure.error.kind == Kind::Unavailable && !failure.is_late => {
                    let Some(wait) = waits.next() else { return Err(failure) };
                    self.clock.sleep(*wait).await;
                    (access, sending) = (self.access(app).await?, again);
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
    pass_on(&mut parts.headers);
    parts.headers.remove(HOST);
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme(Scheme::HTTPS).authority(access.authority().clone()).path_and_query(path);
    parts.uri = uri.build().map_err(|error| Error::invalid(format!("the address of the request: {error}")))?;
    if parts.version == http::Version::HTTP_10 {
        parts.version = http::Version::HTTP_11;
    }
    Ok(Request::from_parts(parts, body))
}

/// Takes off what belongs to one connection. What a switch of protocols needs is put back.
fn pass_on(headers: &mut HeaderMap) {
    let protocol = headers::upgrade(headers);
    headers::strip_hop_by_hop(headers);
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
}

/// Whether the cluster itself does not take the certificate: the proxy sends its holder to the login page, or the agent
/// refuses its holder, as after a change of roles. They say so in headers that agents take off what applications say.
fn is_refusal(answer: &Response<Incoming>) -> bool {
    let (status, headers) = (answer.status(), answer.headers());
    status.is_redirection() && headers.contains_key(LOGIN)
        || status == StatusCode::FORBIDDEN && headers.get(HOP).is_some_and(|hop| hop == "agent")
}

/// Whether the cluster itself cannot decide now, as about a session that it has not asked about when the auth service restarts.
fn is_undecided(answer: &Response<Incoming>) -> bool {
    answer.status() == StatusCode::SERVICE_UNAVAILABLE && answer.headers().contains_key(HOP)
}

fn ended(app: &str) -> Failure {
    Hop::Proxy.failure(Error::denied(format!(
        "the proxy does not take the certificate for application {app:?}: its session has ended, the identity is locked, or \
         its roles do not allow it any more. Another one is asked for by and by; a reload of tbot brings one now"
    )))
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
    pass_on(answer.headers_mut());
    answer.map(|body| body.map_err(|error| Box::new(error) as BoxError).boxed_unsync())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_of_protocols_keeps_its_headers_and_nothing_else_of_the_connection() {
        for (connection, protocol, left) in [
            ("keep-alive, Upgrade", "websocket", &["connection", "cookie", "upgrade"][..]),
            ("upgrade", "h2c", &["cookie"]),
            ("close, cookie", "websocket", &["cookie"]),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in
                [("connection", connection), ("upgrade", protocol), ("keep-alive", "5"), ("cookie", "a=b")]
            {
                headers.insert(name, HeaderValue::from_static(value));
            }
            pass_on(&mut headers);
            let mut names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, left, "{connection} {protocol}");
        }
    }
}
