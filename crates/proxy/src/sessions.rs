//! Application sessions, fetched by their id. A proxy can neither list nor make any.

use async_trait::async_trait;
use clock::Timestamp;
use crypto::{SecretString, tls::CertificateChain};
use domain::Error;

/// A session of somebody with one application, as the auth service made it.
pub struct AppSession {
    /// Whose it is.
    pub user: String,
    /// The application's name.
    pub app: String,
    /// The application's public address, as the route names it.
    pub public_addr: String,
    /// When it ends.
    pub expires: Timestamp,
    /// SHA-256 over the SPKI of the certificate that it was made with; none when it was made for a browser, which shows
    /// the bearer token instead.
    pub client_key: Option<[u8; 32]>,
    /// What a browser shows beside the id; none when it was made with a certificate.
    pub bearer: Option<SecretString>,
    /// What the agent is shown: made by the auth service for this session, and for nothing else.
    pub certificate: CertificateChain,
}

/// Where sessions come from.
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// The live session with this id.
    ///
    /// # Errors
    /// Not found when there is none (any more).
    async fn fetch(&self, id: &SecretString) -> Result<AppSession, Error>;
}
