//! The conversations in which a bot gets its own identity. What is asked, and with which keys, is decided elsewhere and
//! durable already.

use std::{fs, path::Path, time::Duration};

use api::{
    r#gen::{proto, types},
    methods::proto::{
        auth_service::{GenerateUserCerts, Ping},
        join_service::RegisterUsingToken,
    },
};
use client::{Client, Credentials, Proxies, Trust, Web};
use clock::{Clock, Timestamp};
use crypto::{Algorithm, KeyPair, Random, tls, x509::Certificate};
use domain::{Error, error::Reason, suite::Suite};
use join::Proof;

use super::{BotIdentity, Certificates};
use crate::{Config, authorities::Authorities};

/// Everything that a conversation needs besides the keys.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) config: std::sync::Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) proxies: Proxies,
}

impl Exchange {
    /// A client with these credentials.
    fn client_config(&self, credentials: Credentials, trust: Trust) -> client::Config {
        client::Config::new(self.config.server(), credentials, self.clock.clone(), self.random.clone())
            .with_proxies(self.proxies.clone())
            .with_trust(trust)
    }

    /// A connection that shows the identity.
    pub(crate) async fn connect(&self, identity: &BotIdentity) -> Result<Client, Error> {
        let credentials = identity.credentials().map_err(|error| Error::invalid(error.to_string()))?;
        Client::connect(self.client_config(credentials, Trust::Credentials)).await
    }

    /// A connection without a client certificate, to a server that the configuration or the old identity vouches for.
    pub(crate) async fn connect_anonymously(&self, known: Option<&BotIdentity>) -> Result<Client, Error> {
        let trust = self.first_trust(known)?;
        if matches!(trust, Some(Trust::DangerAnything)) {
            tracing::warn!("--insecure: whoever answers is believed on this first connection");
        }
        let Some(web) = self.web() else {
            return Client::connect(self.client_config(Credentials::none(), trust.unwrap_or_default())).await;
        };
        // What vouches for the auth service itself makes the proxy's word harmless: a wrong name leads nowhere.
        let vouched = match &trust {
            Some(_) => tls::Trust::DangerAnyServer,
            None => tls::Trust::Roots(client::credentials::system_authorities()),
        };
        let cluster = match known {
            Some(identity) => identity.cluster().to_owned(),
            None => web.find(vouched.clone()).await?.cluster,
        };
        let trust = match trust {
            Some(trust) => trust,
            None => Trust::Authorities(web.host_authorities(vouched).await?),
        };
        let mut config = self.client_config(Credentials::none(), trust);
        config.cluster = Some(cluster);
        Client::connect(config).await
    }

    /// The proxy that is configured.
    pub(crate) fn web(&self) -> Option<Web> {
        let address = self.config.proxy_server.as_deref()?;
        Some(Web::new(address, self.proxies.clone(), self.clock.clone()))
    }

    /// What makes us believe the auth service before we have an identity; nothing when a proxy with a web certificate
    /// that this system trusts is to tell us its authorities.
    pub(crate) fn first_trust(&self, known: Option<&BotIdentity>) -> Result<Option<Trust>, Error> {
        let onboarding = &self.config.onboarding;
        if self.config.insecure {
            return Ok(Some(Trust::DangerAnything));
        }
        if !onboarding.ca_pins.is_empty() {
            return Ok(Some(Trust::Pins(onboarding.ca_pins.clone())));
        }
        if let Some(path) = &onboarding.ca_path {
            return read_authorities(Path::new(path)).map(|found| Some(Trust::Authorities(found)));
        }
        match known {
            Some(identity) => Ok(Some(Trust::Authorities(identity.authorities().to_vec()))),
            None if self.config.proxy_server.is_some() => Ok(None),
            None => Err(Error::invalid(
                "nothing says how to recognise the auth service: give --ca-pin (tctl status shows it), set \
                 onboarding.ca_path, or, on a network that you trust, --insecure",
            )
            .because(Reason::UntrustedServer)),
        }
    }

    /// Asks for the first identity.
    pub(crate) async fn join(&self, client: &Client, key: &KeyPair, proof: &Proof) -> Result<Certificates, Error> {
        let Proof::Token(token) = proof;
        let request = types::RegisterUsingTokenRequest {
            token: token.expose().clone(),
            role: "Bot".into(),
            public_tls_key: key.public().to_pem().into_bytes(),
            public_ssh_key: key.public().to_authorized_key().into_bytes(),
            expires: Some(self.expires(self.config.ttl())),
            ..types::RegisterUsingTokenRequest::default()
        };
        let certs = client.call::<RegisterUsingToken>(request).await?;
        self.complete(certs, trusted(client)).await
    }

    /// Asks for the successor of a valid identity.
    pub(crate) async fn renew(&self, identity: &BotIdentity, key: &KeyPair) -> Result<Certificates, Error> {
        let client = self.connect(identity).await?;
        let request = proto::UserCertsRequest {
            username: identity.says().username.clone(),
            expires: Some(self.expires(self.config.ttl())),
            tls_public_key: key.public().to_pem().into_bytes(),
            ssh_public_key: key.public().to_authorized_key().into_bytes(),
            ..proto::UserCertsRequest::default()
        };
        let certs = client.call::<GenerateUserCerts>(request).await?;
        self.complete(certs, identity.certificates().tls_authorities.clone()).await
    }

    /// Asks for the successor of an expired identity.
    pub(crate) async fn renew_in_grace(&self, identity: &BotIdentity, key: &KeyPair) -> Result<Certificates, Error> {
        let trust = Trust::Authorities(identity.authorities().to_vec());
        let mut config = self.client_config(Credentials::none(), trust);
        // Not through anybody who reads along (invariant 18).
        config.cluster = Some(identity.cluster().to_owned());
        let client = Client::connect(config).await?;
        let certs = super::grace::ask(&client, identity, key, self.expires(self.config.ttl())).await?;
        self.complete(certs, identity.certificates().tls_authorities.clone()).await
    }

    /// What the authority's answer is, with the authorities that were trusted when it came. The cluster's own list is
    /// fetched with the new identity afterwards: an answer may name the authority that issued it, not that of servers.
    async fn complete(&self, certs: proto::Certs, tls_authorities: Vec<String>) -> Result<Certificates, Error> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes);
        let garbled = |_| Error::unavailable("the server's certificates cannot be read");
        let tls = text(certs.tls).map_err(garbled)?;
        let ssh = text(certs.ssh).map_err(garbled)?.trim().to_owned();
        Ok(Certificates { tls, ssh, tls_authorities, ssh_authorities: Vec::new() })
    }

    /// The same identity with the cluster's current authorities.
    pub(crate) async fn refreshed(
        &self,
        client: &Client,
        identity: &BotIdentity,
    ) -> Result<(BotIdentity, Authorities), Error> {
        let authorities = Authorities::fetch(client, identity.cluster()).await?;
        let host = authorities.host.clone();
        let refreshed =
            identity.with_authorities(host.tls, host.ssh).map_err(|error| Error::unavailable(error.to_string()))?;
        Ok((refreshed, authorities))
    }

    pub(crate) fn expires(&self, ttl: Duration) -> prost_types::Timestamp {
        wire_time(self.clock.now().saturating_add(ttl).unwrap_or(Timestamp::MAX))
    }
}

/// The kind of key that the cluster's suite asks for. One key serves TLS and SSH, because an identity file holds one.
pub(crate) async fn key_algorithm(client: &Client) -> Result<Algorithm, Error> {
    let answer = client.call::<Ping>(proto::PingRequest {}).await?;
    Ok(match Suite::from_number(answer.signature_algorithm_suite) {
        Some(Suite::Legacy) => Algorithm::Rsa2048,
        _ => Algorithm::EcdsaP256,
    })
}

pub(crate) fn wire_time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

fn trusted(client: &Client) -> Vec<String> {
    match &client.config().trust {
        Trust::Authorities(authorities) => authorities.iter().map(Certificate::to_pem).collect(),
        _ => client.config().credentials.authorities().iter().map(Certificate::to_pem).collect(),
    }
}

fn read_authorities(path: &Path) -> Result<Vec<Certificate>, Error> {
    let refuse = |reason: String| {
        Error::invalid(format!("onboarding.ca_path {}: {reason}", path.display())).because(Reason::UntrustedServer)
    };
    let text = fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    let found = Certificate::many_from_pem(&text).map_err(|error| refuse(error.to_string()))?;
    if found.is_empty() { Err(refuse("there is no certificate in it".into())) } else { Ok(found) }
}
