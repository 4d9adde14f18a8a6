//! The server's half of a TLS handshake, within one deadline.

use std::{io, sync::Arc, time::Duration};

use clock::Clock;
use rustls::{
    ServerConfig,
    server::{Acceptor, ClientHello},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// Chooses the configuration for a connection by what the client says first; `None` refuses it.
pub trait Configure: Send + Sync + 'static {
    /// The configuration for this client.
    fn configure(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>>;
}

impl<F> Configure for F
where
    F: Fn(&ClientHello<'_>) -> Option<Arc<ServerConfig>> + Send + Sync + 'static,
{
    fn configure(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        self(hello)
    }
}

/// One configuration for everybody.
#[derive(Clone, Debug)]
pub struct Fixed(pub Arc<ServerConfig>);

impl Configure for Fixed {
    fn configure(&self, _: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        Some(Arc::clone(&self.0))
    }
}

/// A handshake that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It took too long.
    #[error("TLS handshake was not done within {0:?}")]
    TooSlow(Duration),
    /// What the peer sent is no ClientHello, or it went away before the end of one.
    #[error("no TLS ClientHello")]
    Hello(#[source] io::Error),
    /// No service answers to the name or the protocols that it asked for.
    #[error("no service for server name {server_name:?}")]
    Unserved {
        /// The name that it asked for.
        server_name: Option<String>,
    },
    /// The handshake failed: the certificate was refused, by one side or the other, or nothing is spoken in common.
    #[error("TLS handshake failed")]
    Failed(#[source] io::Error),
}

/// Does the handshake: the ClientHello and all that follows share one deadline, so that a peer cannot hold a place by
/// sending a byte now and then.
///
/// # Errors
/// See [`HandshakeError`].
pub async fn accept<S>(
    stream: S,
    configure: &dyn Configure,
    clock: &Clock,
    deadline: Duration,
) -> Result<TlsStream<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = async {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(HandshakeError::Hello)?;
        let hello = start.client_hello();
        let Some(config) = configure.configure(&hello) else {
            let server_name = hello.server_name().map(str::to_owned);
            return Err(HandshakeError::Unserved { server_name });
        };
        start.into_stream(config).await.map_err(HandshakeError::Failed)
    };
    clock.timeout(deadline, Box::pin(handshake)).await.unwrap_or(Err(HandshakeError::TooSlow(deadline)))
}
