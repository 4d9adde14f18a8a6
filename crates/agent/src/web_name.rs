//! A certificate of the cluster's host authority for further names of this host, beside its identity.

use crypto::{KeyPair, x509::Certificate};
use domain::Error;

use crate::{Config, Host, exchange};

impl Host {
    /// A certificate for these names and addresses, which lives as long as an identity that is made now. It is kept nowhere.
    ///
    /// It is for the identity's own key: the cluster remembers a few keys of each host, by which it knows a host again that
    /// was away, and those of certificates that come and go with names would drive that one out.
    ///
    /// # Errors
    /// The auth service does not answer, or refuses a name.
    pub async fn certificate_for(&self, dns_names: Vec<String>) -> Result<(Certificate, KeyPair), Error> {
        let (client, identity) = (self.client().await?, self.identity());
        let config = Config { dns_names, ..self.config().clone() };
        let certificates = exchange::renew(&config, &client, &identity, identity.key()).await?;
        let certificate = Certificate::from_pem(&certificates.tls)
            .map_err(|error| Error::unavailable(format!("the server's certificate cannot be read: {error}")))?;
        Ok((certificate, identity.key().clone()))
    }
}
