//! A certificate that leads to one application, ready to be used.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use client::Web;
use clock::{Clock, Timestamp};
use crypto::tls::{self, CertificateChain, ClientOptions};
use domain::Error;
use http::{Request, Response, Version, uri::Authority};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use net::BoxIo;
use tokio_rustls::client::TlsStream;

use crate::{
    connector::Connector,
    failure::{Failure, Hop},
};

/// What a request carries.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Whatever ended a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long an unused connection to the proxy is kept: less than servers keep theirs.
const IDLE: Duration = Duration::from_secs(45);

/// Between two pings on a connection that carries requests, and how long one may stay unanswered: an answer may take as long
/// as it likes, but a proxy whose machine is gone says nothing for ever.
const PING: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What an [`Access`] is made of.
pub struct Lead {
    /// The application's name.
    pub app: String,
    /// The name that it is reached by.
    pub public_name: String,
    /// It speaks no HTTP.
    pub is_tcp: bool,
    /// The proxy in front of it.
    pub web: Web,
    /// The certificate and its key.
    pub chain: CertificateChain,
    /// How the proxy is known: by the application's name, or by its own (see [`tls::Trust::Front`]). So is a balancer
    /// before it.
    pub trust: tls::Trust,
    /// When the certificate ends.
    pub not_after: Timestamp,
}

/// A way to one application. Connections that are open when it is replaced go on.
pub struct Access {
    app: String,
    public_name: String,
    is_tcp: bool,
    not_after: Timestamp,
    authority: Authority,
    raw: Connector,
    http1: Client<Connector, Body>,
    http2: Client<Connector, Body>,
}

impl Access {
    /// Makes the TLS configurations; nothing is dialled.
    ///
    /// # Errors
    /// When the parts do not fit TLS, or the name is none.
    pub fn new(lead: Lead, clock: &Clock) -> Result<Self, Error> {
        let Lead { app, public_name, is_tcp, web, chain, trust, not_after } = lead;
        let outer = Arc::new(trust.clone());
        let connector = |alpn: &[u8]| {
            let options =
                ClientOptions { trust: trust.clone(), certificate: Some(chain.clone()), alpn: vec![alpn.to_vec()] };
            let tls = tls::client_config(options, clock).map_err(|error| Error::invalid(error.to_string()))?;
            Ok::<_, Error>(Connector::new(web.clone(), &public_name, tls, &outer, clock))
        };
        let authority = match web.address().rsplit_once(':') {
            Some((_, port)) if port != "443" => format!("{public_name}:{port}"),
            _ => public_name.clone(),
        };
        let authority =
            authority.parse().map_err(|_| Error::invalid(format!("{public_name:?} is no name of a server")))?;
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(64);
        builder.http2_keep_alive_interval(PING).http2_keep_alive_timeout(PING_TIMEOUT);
        Ok(Self {
            raw: connector(b"teleport-tcp")?,
            http1: builder.build(connector(b"http/1.1")?),
            http2: builder.http2_only(true).build(connector(tls::ALPN_H2)?),
            app,
            public_name,
            is_tcp,
            not_after,
            authority,
        })
    }

    /// The application's name.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The name that it is reached by.
    pub fn public_name(&self) -> &str {
        &self.public_name
    }

    /// It speaks no HTTP.
    pub fn is_tcp(&self) -> bool {
        self.is_tcp
    }

    /// When the certificate ends.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// The host, with its port unless it is the usual one.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A connection of bytes, for an application that speaks no HTTP.
    pub(crate) async fn connect(&self) -> Result<TlsStream<BoxIo>, Failure> {
        self.raw.connect().await
    }

    /// One request; the connection is taken from those that are open, or made.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Failure> {
        let client = if request.version() == Version::HTTP_2 { &self.http2 } else { &self.http1 };
        client.request(request).await.map_err(|error| explain(&error, &self.public_name))
    }
}

/// Our own error when the connection could not be made; otherwise what broke it.
fn explain(error: &hyper_util::client::legacy::Error, name: &str) -> Failure {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        if let Some(own) = source.downcast_ref::<Failure>() {
            return own.clone();
        }
        text = format!("{text}: {source}");
        next = source.source();
    }
    Hop::Proxy.failure(Error::unavailable(format!("the connection to the proxy for {name} broke: {text}")))
}
