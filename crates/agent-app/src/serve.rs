//! The end of the tunnel: a stream becomes a connection of a session, whose certificate's key the proxy has proved to hold:
//! within the link (RFC 9261), or by TLS inside the stream where another proxy lies between.

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use crypto::{
    tls::{self, ClientAuth},
    x509::Certificate,
};
use net::BoxIo;
use rustls::ServerConfig;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tunnel::{Open, Stream, headers::protocol, link::Serve};

use crate::{
    AppService, Me, SERVICE, Session, View,
    access::Refusal,
    connection::{self, Protocol},
    guard::Guard,
    service::Shared,
    tcp,
};

/// How long it may take to show a session.
const SHOWN_WITHIN: Duration = Duration::from_secs(15);

/// What is spoken here, in order of preference.
const PROTOCOLS: [&str; 3] = [protocol::HTTP_2, protocol::HTTP_1_1, protocol::TCP];

/// TLS as this host, for whoever shows a certificate of the user authority.
///
/// # Errors
/// In practice never.
pub(crate) fn tls(me: &Me, view: &View) -> Result<Arc<ServerConfig>, tls::Error> {
    let auth = ClientAuth::Optional(view.trusted());
    tls::server_config(me.certificate.clone(), auth, &PROTOCOLS.map(str::as_bytes), &me.clock)
}

/// What the other end of a stream has shown.
struct Shown {
    io: BoxIo,
    /// Whose key it has proved to hold.
    certificate: Option<Certificate>,
    /// What it speaks.
    protocol: Option<String>,
}

impl Shown {
    async fn within_link(mut stream: Stream, protocol: String, shared: &Shared) -> io::Result<Self> {
        let certificate = stream.proved(&shared.view.trusted(), &shared.clock).await?;
        Ok(Self { io: Box::new(stream), certificate: Some(certificate), protocol: Some(protocol) })
    }

    fn by_tls(stream: TlsStream<Stream>) -> Self {
        let tls = stream.get_ref().1;
        let certificate = tls.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.and_then(|leaf| Certificate::from_der(leaf).ok());
        let protocol = tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        Self { io: Box::new(stream), certificate, protocol }
    }
}

#[async_trait]
impl Serve for AppService {
    async fn admit(&self, open: &Open) -> Result<(), String> {
        if open.service != SERVICE {
            return Err(format!("applications are served here, not {:?}", open.service));
        }
        match open.protocol.as_deref() {
            Some(protocol) if !PROTOCOLS.contains(&protocol) => Err(format!("{protocol:?} is not spoken here")),
            _ => Ok(()),
        }
    }

    async fn serve(&self, open: Open, stream: Stream) {
        let clock = &self.shared.clock;
        let proved = async {
            match open.protocol.clone() {
                Some(protocol) => Shown::within_link(stream, protocol, &self.shared).await,
                None => Ok(Shown::by_tls(TlsAcceptor::from(Arc::clone(&self.tls)).accept(stream).await?)),
            }
        };
        let Shown { io, certificate, protocol } = match clock.timeout(SHOWN_WITHIN, Box::pin(proved)).await {
            Ok(Ok(shown)) => shown,
            Ok(Err(error)) => return tracing::info!(error = connection::chain(&error), "a proxy has shown no session"),
            Err(_) => return tracing::info!("a proxy took too long to show a session"),
        };
        let session = certificate.ok_or_else(|| Refusal::Untrusted("none was shown".into()));
        let session = match session.and_then(|shown| Session::read(shown, &self.shared.me.cluster)) {
            Ok(session) => session,
            Err(refusal) => return tracing::warn!(%refusal, "a stream without a session"),
        };
        let guard = Guard::new(Arc::clone(&self.shared), session, open.source);
        match protocol.as_deref() {
            Some(protocol::TCP) => tcp::serve(io, &guard).await,
            Some(protocol::HTTP_2) => connection::http(io, Protocol::Http2, &guard).await,
            Some(protocol::HTTP_1_1) => connection::http(io, Protocol::Http1, &guard).await,
            _ if self.is_tcp(&guard.session().route().name) => tcp::serve(io, &guard).await,
            _ => connection::http(io, Protocol::Http1, &guard).await,
        }
    }
}
