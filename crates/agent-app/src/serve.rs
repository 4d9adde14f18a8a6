//! The end of the tunnel: a stream becomes a TLS connection of a session.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use crypto::{
    tls::{self, ClientAuth},
    x509::Certificate,
};
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

#[async_trait]
impl Serve for AppService {
    async fn admit(&self, open: &Open) -> Result<(), String> {
        match open.service.as_str() {
            SERVICE => Ok(()),
            other => Err(format!("applications are served here, not {other:?}")),
        }
    }

    async fn serve(&self, open: Open, stream: Stream) {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls));
        let clock = &self.shared.clock;
        let stream = match clock.timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::info!(%error, "a proxy's handshake failed"),
            Err(_) => return tracing::info!("a proxy's handshake took too long"),
        };
        let session = match session(&stream, &self.shared.me.cluster) {
            Ok(session) => session,
            Err(refusal) => return tracing::warn!(%refusal, "a stream without a session"),
        };
        let alpn = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let guard = Guard::new(Arc::clone(&self.shared), session, open.source);
        let stream = Box::new(stream);
        match alpn.as_deref() {
            Some(ALPN_TCP) => tcp::serve(stream, &guard).await,
            Some(ALPN_HTTP2) => connection::http(stream, Protocol::Http2, &guard).await,
            Some(ALPN_HTTP1) => connection::http(stream, Protocol::Http1, &guard).await,
            _ if self.is_tcp(&guard.session().route().name) => tcp::serve(stream, &guard).await,
            _ => connection::http(stream, Protocol::Http1, &guard).await,
        }
    }
}

/// Who is at the other end. Nobody is let in without a certificate.
fn session(stream: &TlsStream<Stream>, cluster: &str) -> Result<Session, Refusal> {
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let der = shown.ok_or_else(|| Refusal::Untrusted("none was shown".into()))?;
    let certificate = Certificate::from_der(der).map_err(|error| Refusal::Untrusted(error.to_string()))?;
    Session::read(certificate, cluster)
}
