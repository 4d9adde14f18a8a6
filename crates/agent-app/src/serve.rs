//! The end of the tunnel: a stream becomes a connection of a session, whose certificate's key the proxy has proved to hold:
//! within the link (RFC 9261), or by TLS inside the stream where another proxy lies between.

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use clock::Clock;
use crypto::{
    tls::{self, ClientAuth, TrustedClients},
    x509::Certificate,
};
use net::BoxIo;
use rustls::ServerConfig;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tunnel::{Open, Stream, link::Serve};

use crate::{
    AppService, Me, SERVICE, Session, View,
    access::Refusal,
    connection::{self, Protocol},
    guard::Guard,
    tcp,
};

/// How long a handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(15);

/// Plain bytes after the handshake.
const ALPN_TCP: &[u8] = b"teleport-tcp";
const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// TLS as this host, for whoever shows a certificate of the user authority.
///
/// # Errors
/// In practice never.
pub(crate) fn tls(me: &Me, view: &View) -> Result<Arc<ServerConfig>, tls::Error> {
    let auth = ClientAuth::Optional(view.trusted());
    tls::server_config(me.certificate.clone(), auth, &[ALPN_HTTP2, ALPN_HTTP1, ALPN_TCP], &me.clock)
}

/// What the other end of a stream has shown.
struct Shown {
    io: BoxIo,
    /// Whose key it has proved to hold.
    certificate: Option<Certificate>,
    /// What it speaks.
    protocol: Option<Vec<u8>>,
}

impl Shown {
    async fn within_link(
        mut stream: Stream,
        protocol: String,
        trusted: Arc<TrustedClients>,
        clock: &Clock,
    ) -> io::Result<Self> {
        let nothing = || io::Error::new(io::ErrorKind::InvalidData, "nothing can be proved within this link");
        let (exported, name) = stream.exported().ok_or_else(nothing)?;
        let certificate = net::authenticator::verify(&mut stream, &exported, &name, &trusted, clock).await?;
        Ok(Self { io: Box::new(stream), certificate: Some(certificate), protocol: Some(protocol.into_bytes()) })
    }

    fn by_tls(stream: TlsStream<Stream>) -> Self {
        let tls = stream.get_ref().1;
        let certificate = tls.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.and_then(|leaf| Certificate::from_der(leaf).ok());
        let protocol = tls.alpn_protocol().map(<[u8]>::to_vec);
        Self { io: Box::new(stream), certificate, protocol }
    }
}

#[async_trait]
impl Serve for AppService {
    async fn admit(&self, open: &Open) -> Result<(), String> {
        match open.service.as_str() {
            SERVICE => Ok(()),
            other => Err(format!("applications are served here, not {other:?}")),
        }
    }

    async fn serve(&self, open: Open, stream: Stream) {
        let clock = &self.shared.clock;
        let proved = async {
            match open.protocol.clone() {
                Some(protocol) => Shown::within_link(stream, protocol, self.shared.view.trusted(), clock).await,
                None => Ok(Shown::by_tls(TlsAcceptor::from(Arc::clone(&self.tls)).accept(stream).await?)),
            }
        };
        let Shown { io, certificate, protocol } = match clock.timeout(HANDSHAKE_WITHIN, Box::pin(proved)).await {
            Ok(Ok(shown)) => shown,
            Ok(Err(error)) => return tracing::info!(%error, "a proxy's handshake failed"),
            Err(_) => return tracing::info!("a proxy's handshake took too long"),
        };
        let session = certificate.ok_or_else(|| Refusal::Untrusted("none was shown".into()));
        let session = match session.and_then(|shown| Session::read(shown, &self.shared.me.cluster)) {
            Ok(session) => session,
            Err(refusal) => return tracing::warn!(%refusal, "a stream without a session"),
        };
        let guard = Guard::new(Arc::clone(&self.shared), session, open.source);
        match protocol.as_deref() {
            Some(ALPN_TCP) => tcp::serve(io, &guard).await,
            Some(ALPN_HTTP2) => connection::http(io, Protocol::Http2, &guard).await,
            Some(ALPN_HTTP1) => connection::http(io, Protocol::Http1, &guard).await,
            _ if self.is_tcp(&guard.session().route().name) => tcp::serve(io, &guard).await,
            _ => connection::http(io, Protocol::Http1, &guard).await,
        }
    }
}
