//! `tbot proxy app --port=LOCAL:TARGET`: certificates for one port of an application, in exchange for the identity that
//! another tbot keeps fresh in a directory.

use std::path::PathBuf;

use app_access::{Exchange, Issue, Issued};
use async_trait::async_trait;
use client::{Client, Config, Credentials, Proxies, Web};
use clock::Clock;
use crypto::Random;
use domain::{Error, identity::Identity};

/// The directory of an `identity` output that may be exchanged, read again for each certificate.
pub struct Reissue {
    /// The directory.
    pub directory: PathBuf,
    /// The proxy.
    pub proxy: String,
    /// The port of the application.
    pub target_port: u16,
    /// Proxies on the way out of this network.
    pub proxies: Proxies,
    /// Source of time.
    pub clock: Clock,
    /// Keys and jitter.
    pub random: Random,
}

#[async_trait]
impl Issue for Reissue {
    async fn issue(&self, app: &str) -> Result<Issued, Error> {
        let file = self.directory.join("identity");
        let broken = |reason: String| Error::invalid(format!("{}: {reason}", file.display()));
        let credentials = Credentials::from_identity_file(&file).map_err(|error| broken(error.to_string()))?;
        let certificate = credentials.certificate().ok_or_else(|| broken("there is no certificate in it".into()))?;
        let says = Identity::from_subject(certificate.subject()).map_err(|error| broken(error.to_string()))?;
        if says.disallow_reissue {
            return Err(broken(
                "--port=LOCAL:TARGET needs a certificate for that port, and this identity may not be exchanged for one: \
                 name the directory of an output of type identity with allow_reissue: true"
                    .into(),
            ));
        }
        let web = Web::new(&self.proxy, self.proxies.clone(), self.clock.clone());
        let config = Config::new([web.address()], credentials, self.clock.clone(), self.random.clone());
        let client = Client::connect(config.with_proxies(self.proxies.clone())).await?;
        Exchange { client, web, target_port: self.target_port }.issue(app).await
    }
}
