//! The conversations in which a host gets its identity. The keys they are held with are durable already.

use api::{
    r#gen::{proto, teleport::trust::v1::GetCertAuthoritiesRequest, types},
    methods::{
        proto::{
            auth_service::{GenerateHostCerts, Ping},
            join_service::RegisterUsingToken,
        },
        teleport::trust::v1::trust_service::GetCertAuthorities,
    },
};
use client::{Client, Credentials, Trust};
use crypto::{Algorithm, KeyPair, x509::Certificate};
use domain::{Error, ca::CaType, error::Reason, suite::Suite};

use crate::{Certificates, Config, Identity};

/// A connection that shows the identity.
pub(crate) async fn connect(config: &Config, identity: &Identity) -> Result<Client, Error> {
    let credentials = identity.credentials().map_err(|error| Error::invalid(error.to_string()))?;
    let mut options = options(config, credentials, Trust::Credentials);
    options.cluster = Some(identity.cluster().to_owned()).filter(|cluster| !cluster.is_empty());
    Client::connect(options).await
}

/// A connection without a certificate, to a server that the configuration vouches for.
pub(crate) async fn connect_to_join(config: &Config) -> Result<Client, Error> {
    match &config.trust {
        Trust::Credentials => {
            return Err(Error::invalid(
                "nothing says how to recognise the auth service: give --ca-pin, or teleport.ca_pin in the file (tctl status \
                 shows the pin), or, on a network that you trust, --insecure",
            )
            .because(Reason::UntrustedServer));
        }
        Trust::DangerAnything => tracing::warn!("whoever answers is believed on this first connection"),
        Trust::Authorities(_) | Trust::Pins(_) => {}
    }
    Client::connect(options(config, Credentials::none(), config.trust.clone())).await
}

fn options(config: &Config, credentials: Credentials, trust: Trust) -> client::Config {
    client::Config::new(config.auth_servers.clone(), credentials, config.clock.clone(), config.random.clone())
        .with_proxies(config.out.clone())
        .with_trust(trust)
}

/// The kind of key that the cluster's suite asks for.
pub(crate) async fn key_algorithm(client: &Client) -> Result<Algorithm, Error> {
    let answer = client.call::<Ping>(proto::PingRequest {}).await?;
    Ok(match Suite::from_number(answer.signature_algorithm_suite) {
        Some(Suite::Legacy) => Algorithm::Rsa2048,
        _ => Algorithm::EcdsaP256,
    })
}

/// Asks for the first identity.
pub(crate) async fn join(
    config: &Config,
    client: &Client,
    host_id: &str,
    key: &KeyPair,
) -> Result<Certificates, Error> {
    let token = config.token.as_ref().ok_or_else(|| {
        Error::invalid(
            "this host has not joined the cluster yet and has no join token: make one with tctl tokens add, and give it \
             with --token or teleport.join_params.token_name",
        )
    })?;
    let request = types::RegisterUsingTokenRequest {
        host_id: host_id.to_owned(),
        node_name: config.node_name.clone(),
        role: config.role.as_str().to_owned(),
        token: token.expose().clone(),
        additional_principals: config.additional_principals.clone(),
        dns_names: config.dns_names.clone(),
        public_tls_key: key.public().to_pem().into_bytes(),
        public_ssh_key: key.public().to_authorized_key().into_bytes(),
        ..types::RegisterUsingTokenRequest::default()
    };
    let answer = client.call::<RegisterUsingToken>(request).await?;
    complete(answer, trusted(client))
}

/// Asks for the successor of an identity.
pub(crate) async fn renew(
    config: &Config,
    client: &Client,
    identity: &Identity,
    key: &KeyPair,
) -> Result<Certificates, Error> {
    let request = proto::HostCertsRequest {
        host_id: identity.host_id().to_owned(),
        node_name: config.node_name.clone(),
        role: identity.role().as_str().to_owned(),
        additional_principals: config.additional_principals.clone(),
        dns_names: config.dns_names.clone(),
        public_tls_key: key.public().to_pem().into_bytes(),
        public_ssh_key: key.public().to_authorized_key().into_bytes(),
        ..proto::HostCertsRequest::default()
    };
    let answer = client.call::<GenerateHostCerts>(request).await?;
    complete(answer, identity.certificates().tls_authorities.clone())
}

/// The authorities of hosts, now or after a rotation: TLS as PEM, SSH as `authorized_keys` lines.
pub(crate) async fn authorities(client: &Client, cluster: &str) -> Result<(Vec<String>, Vec<String>), Error> {
    let request = GetCertAuthoritiesRequest { r#type: CaType::Host.as_str().to_owned(), include_key: false };
    let answer = client.repeat::<GetCertAuthorities>(request).await?;
    let (mut tls, mut ssh) = (Vec::new(), Vec::new());
    let specs = answer.cert_authorities_v2.into_iter().filter_map(|authority| authority.spec);
    for spec in specs.filter(|spec| spec.cluster_name == cluster) {
        for keys in [spec.active_keys, spec.additional_trusted_keys].into_iter().flatten() {
            tls.extend(keys.tls.into_iter().filter_map(|pair| String::from_utf8(pair.cert).ok()));
            ssh.extend(keys.ssh.into_iter().filter_map(|pair| String::from_utf8(pair.public_key).ok()));
        }
    }
    // Read and written anew: only certificates are kept.
    let parsed = Certificate::many_from_pem(&tls.concat())
        .map_err(|_| Error::unavailable("the server shows no host authority that can be read"))?;
    Ok((parsed.iter().map(Certificate::to_pem).collect(), ssh))
}

/// The answer, with the authorities that were trusted when it came; the cluster's own list is fetched with the new
/// identity afterwards.
fn complete(certs: proto::Certs, tls_authorities: Vec<String>) -> Result<Certificates, Error> {
    let text = |bytes: Vec<u8>| {
        String::from_utf8(bytes).map_err(|_| Error::unavailable("the server's certificates cannot be read"))
    };
    let (tls, ssh) = (text(certs.tls)?, text(certs.ssh)?.trim().to_owned());
    Ok(Certificates { tls, ssh, tls_authorities, ssh_authorities: Vec::new() })
}

fn trusted(client: &Client) -> Vec<String> {
    match &client.config().trust {
        Trust::Authorities(authorities) => authorities.iter().map(Certificate::to_pem).collect(),
        _ => client.config().credentials.authorities().iter().map(Certificate::to_pem).collect(),
    }
}
