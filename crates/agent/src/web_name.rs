//! A certificate of the cluster's host authority for further names of this host, beside its identity.

use crypto::{KeyPair, x509::Certificate};
use domain::Error;

use crate::{Config, Host, exchange};

impl Host {
    /// A certificate for these names and addresses, with a key of its own, which lives as long as an identity that is made
    /// now. It is kept nowhere.
    ///
    /// # Errors
    /// The auth service does not answer, or refuses a name.
    pub async fn certificate_for(&self, dns_names: Vec<String>) -> Result<(Certificate, KeyPair), Error> {
        let client = self.client().await?;
        let algorithm = exchange::key_algorithm(&client).await?;
        let key = KeyPair::generate(algorithm).map_err(|error| Error::internal(error.to_string()))?;
        let config = Config { dns_names, ..self.config().clone() };
        let certificates = exchange::renew(&config, &client, &self.identity(), &key).await?;
        let certificate = Certificate::from_pem(&certificates.tls)
            .map_err(|error| Error::unavailable(format!("the server's certificate cannot be read: {error}")))?;
        Ok((certificate, key))
    }
}
