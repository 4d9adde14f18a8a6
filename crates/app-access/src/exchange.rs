//! Certificates for applications in exchange for an identity that may be exchanged: a person's, or a bot's with
//! `allow_reissue`.

use std::time::Duration;

use api::{r#gen::proto::UserCertsRequest, methods::proto::auth_service::GenerateUserCerts};
use async_trait::async_trait;
use client::{Client, Web, credentials::system_authorities};
use crypto::{
    Algorithm, KeyPair,
    tls::{self, CertificateChain},
    x509::Certificate,
};
use domain::{Error, identity::Identity, resources::App};

use crate::{Access, Issue, Issued, Lead, lookup};

/// Asks for certificates with the identity that a client shows.
pub struct Exchange {
    /// Shows the identity.
    pub client: Client,
    /// The proxy in front of the applications.
    pub web: Web,
    /// The port of the application that is meant, when it has several.
    pub target_port: u16,
}

/// A certificate that leads to an application.
pub struct Exchanged {
    /// Its key.
    pub key: KeyPair,
    /// The certificate.
    pub certificate: Certificate,
    /// The application.
    pub app: App,
    /// The name that it is reached by.
    pub public_name: String,
    /// The name of the proxy in front of it.
    pub proxy_host: String,
}

impl Exchange {
    /// A certificate that leads to `app`, as long as the identity lives.
    ///
    /// # Errors
    /// What the server answers; invalid for a client without an identity.
    pub async fn exchange(&self, app: &str) -> Result<Exchanged, Error> {
        let own = self.client.config().credentials.certificate().cloned();
        let own = own.ok_or_else(|| Error::invalid("there is no identity to exchange"))?;
        let says = Identity::from_subject(own.subject()).map_err(|error| Error::invalid(error.to_string()))?;
        if says.disallow_reissue {
            return Err(Error::denied(
                "this identity may not be exchanged for one that leads to an application: a bot's identity output needs \
                 allow_reissue: true, or use an output of type application",
            ));
        }
        let app = lookup::find(&self.client, app).await?;
        app.check_target_port(self.target_port)?;
        let authorities = self.client.config().credentials.authorities();
        let host = lookup::public_host(&self.web, authorities, &self.client).await;
        let public_name = lookup::public_name(&app, &host);
        let mut route = lookup::route(&app, &public_name, &says.teleport_cluster);
        route.target_port = self.target_port.into();
        let key = KeyPair::generate(Algorithm::EcdsaP256).map_err(|error| Error::internal(error.to_string()))?;
        let end = own.not_after();
        let request = UserCertsRequest {
            username: says.username,
            expires: Some(prost_types::Timestamp { seconds: end.as_second(), nanos: end.subsec_nanosecond() }),
            tls_public_key: key.public().to_pem().into_bytes(),
            route_to_app: Some(route),
            ..UserCertsRequest::default()
        };
        let answer = self.client.call::<GenerateUserCerts>(request).await?;
        let certificate = Certificate::from_pem(&String::from_utf8_lossy(&answer.tls))
            .map_err(|error| Error::unavailable(format!("the server's certificate cannot be read: {error}")))?;
        let said = Identity::from_subject(certificate.subject()).map(|says| says.route_to_app.public_addr);
        let public_name = said.ok().filter(|name| !name.is_empty()).unwrap_or(public_name);
        Ok(Exchanged { key, certificate, app, public_name, proxy_host: host })
    }
}

#[async_trait]
impl Issue for Exchange {
    async fn issue(&self, app: &str) -> Result<Issued, Error> {
        let Exchanged { key, certificate, app: found, public_name, proxy_host } = self.exchange(app).await?;
        let chain = CertificateChain::new(std::slice::from_ref(&certificate), &key);
        let config = self.client.config();
        let mut roots = system_authorities();
        roots.extend(config.credentials.authorities().iter().cloned());
        let left = certificate.not_after().duration_since(config.clock.now());
        let good_for = Duration::try_from(left).unwrap_or_default();
        let lead = Lead {
            app: app.to_owned(),
            public_name,
            is_tcp: lookup::is_tcp(&found),
            web: self.web.clone(),
            chain: chain.map_err(|error| Error::internal(error.to_string()))?,
            trust: tls::Trust::Front { roots, name: proxy_host },
            not_after: certificate.not_after(),
        };
        Ok(Issued { access: Access::new(lead, &config.clock)?, renew_in: good_for / 2, good_for })
    }
}
