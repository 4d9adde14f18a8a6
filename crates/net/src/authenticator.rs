//! A proof of the other end's key, before all else in a stream within a TLS connection ([`Exported`]): its length in two bytes,
//! then itself. What follows is as safe as that connection, and nothing is sent back: whoever does not accept it ends the stream.

use std::io;

use clock::Clock;
use crypto::{
    tls::{CertificateChain, Exported, TrustedClients},
    x509::Certificate,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Proves to whoever reads the stream that we hold the key of this chain. `context` names the stream within its connection.
///
/// # Errors
/// The key cannot sign, or the stream is broken.
pub async fn prove(
    stream: &mut (impl AsyncWrite + Unpin),
    exported: &Exported,
    context: &[u8],
    chain: &CertificateChain,
) -> io::Result<()> {
    let proof = exported.prove(chain, context).map_err(io::Error::other)?;
    let length = u16::try_from(proof.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &proof].concat()).await
}

/// Whose key the other end holds: trusted as a client's certificate is.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for what proves nothing; the stream is broken.
pub async fn verify(
    stream: &mut (impl AsyncRead + Unpin),
    exported: &Exported,
    context: &[u8],
    trusted: &TrustedClients,
    clock: &Clock,
) -> io::Result<Certificate> {
    let mut proof = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut proof).await?;
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    exported.verify(&proof, context, trusted, clock).map_err(invalid)
}
