//! The host identity of a service that is a client of the auth service like any other: made by the authority in this
//! process, or got by joining.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ::auth::{Auth, certificates::host::HostNames, joining::host::own_service};
use agent::{Certificates, Host, Identity, Issuer};
use async_trait::async_trait;
use client::{Backoff, Trust};
use crypto::{Algorithm, KeyPair, SecretString};
use domain::{Error, error::Kind, role::SystemRole};
use service::{Component, Stop};

use super::{AuthService, Shared};
use crate::config::JoinParams;

/// The waits between two attempts to join.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Where a service's identity comes from.
pub(crate) struct Source {
    config: agent::Config,
}

impl Source {
    /// For the service of a role; `names` go into its certificate, `entry` is where its links go.
    pub(crate) fn new(
        shared: &Shared<'_>,
        auth: Option<&AuthService>,
        role: SystemRole,
        names: Vec<String>,
        entry: Vec<String>,
    ) -> anyhow::Result<Self> {
        let common = &shared.config.teleport;
        let (clock, random) = (shared.environment.clock.clone(), shared.environment.random.clone());
        let auth_servers = match auth {
            Some(auth) => vec![dialled(auth.address()).to_string()],
            None => common.auth_servers.iter().chain(&common.proxy_server).map(ToString::to_string).collect(),
        };
        let issuer = auth.map(|auth| -> Arc<dyn Issuer> {
            let names =
                HostNames { node_name: common.nodename.clone(), dns_names: names.clone(), ..HostNames::default() };
            Arc::new(OwnAuthority { auth: Arc::clone(auth.auth()), role, names })
        });
        let config = agent::Config {
            auth_servers,
            entry,
            trust: match common.ca_pin.as_slice() {
                [] if common.insecure => Trust::DangerAnything,
                [] => Trust::Credentials,
                pins => Trust::Pins(pins.to_vec()),
            },
            issuer,
            token: common.join_params.as_ref().map(token).transpose()?,
            node_name: common.nodename.clone(),
            role,
            // What the authority in this process can make at each start is not kept on the disk.
            data_dir: auth.is_none().then(|| shared.data_dir.path().to_owned()),
            additional_principals: Vec::new(),
            dns_names: names,
            out: if auth.is_some() { client::Proxies::default() } else { outbound()? },
            clock,
            random,
        };
        Ok(Self { config })
    }

    /// The host, tried for until `stop`: an agent may come up before the cluster that it belongs to.
    ///
    /// # Errors
    /// What waiting does not heal.
    pub(crate) async fn obtain(&self, component: &Component, stop: &Stop) -> Result<Option<Host>, Error> {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let tried = tokio::select! {
                tried = Host::obtain(self.config.clone()) => tried,
                () = stop.requested() => return Ok(None),
            };
            let error = match tried {
                Ok(host) => return Ok(Some(host)),
                Err(error) if !may_heal(&error) => return Err(error),
                Err(error) => error,
            };
            let role = self.config.role.as_str();
            let next = next_step(&error, role);
            tracing::warn!(role, %error, next, "this host cannot join the cluster; trying again");
            component.unready(format!("cannot join the cluster: {error}"));
            tokio::select! {
                () = self.config.clock.sleep(backoff.wait(&self.config.random)) => {}
                () = stop.requested() => return Ok(None),
            }
        }
    }
}

/// The authority in this process, as the one who issues to a service of it.
struct OwnAuthority {
    auth: Arc<Auth>,
    role: SystemRole,
    names: HostNames,
}

#[async_trait]
impl Issuer for OwnAuthority {
    async fn issue(&self) -> Result<Identity, Error> {
        let key = KeyPair::generate(Algorithm::EcdsaP256).map_err(|error| Error::internal(error.to_string()))?;
        let issued = own_service(&self.auth, self.role, self.names.clone(), key.public(), key.public()).await?;
        let certificates = Certificates {
            tls: issued.tls.map(|certificate| certificate.to_pem()).unwrap_or_default(),
            ssh: issued.ssh.map(|certificate| certificate.to_line()).unwrap_or_default(),
            tls_authorities: issued.tls_authorities.iter().map(|authority| authority.to_pem()).collect(),
            ssh_authorities: issued.ssh_authorities.iter().map(|key| key.to_authorized_key()).collect(),
        };
        Identity::new(key, certificates).map_err(|error| Error::internal(error.to_string()))
    }
}

/// Whether waiting may heal it. "Unsupported" may be a balancer's word that nobody is behind it now.
fn may_heal(error: &Error) -> bool {
    error.kind != Kind::Invalid
}

/// What a person can do about a refusal that waiting alone does not heal.
fn next_step(error: &Error, role: &str) -> Option<String> {
    use domain::error::Reason::{Locked, UntrustedCertificate, UntrustedServer};
    let is_of_token = !matches!(error.reason, Some(Locked | UntrustedCertificate | UntrustedServer));
    (error.kind == Kind::Denied && is_of_token).then(|| {
        let role = role.to_ascii_lowercase();
        format!(
            "make a token with tctl tokens add --type={role}, give it with --token or teleport.join_params.token_name, and \
             start again"
        )
    })
}

/// An address that one can connect to, of one that is listened on.
pub(crate) fn dialled(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(_) if address.ip().is_unspecified() => [127, 0, 0, 1].into(),
        SocketAddr::V6(_) if address.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        _ => address.ip(),
    };
    SocketAddr::new(ip, address.port())
}

/// The token itself, or what its file holds.
pub(crate) fn token(params: &JoinParams) -> anyhow::Result<SecretString> {
    if !params.token.starts_with('/') {
        return Ok(SecretString::new(params.token.clone()));
    }
    let text = std::fs::read_to_string(&params.token);
    let text =
        text.map_err(|error| Error::invalid(format!("the join token cannot be read from {}: {error}", params.token)))?;
    Ok(SecretString::new(text.trim().to_owned()))
}

#[expect(clippy::disallowed_methods, reason = "the daemon resolves the environment for everybody below it")]
pub(super) fn outbound() -> anyhow::Result<client::Proxies> {
    Ok(client::Proxies::from_variables(|name| std::env::var(name).ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_learns_what_to_do_and_who_has_to_wait_waits() {
        let next = next_step(&Error::denied("token expired or not found"), "App").unwrap();
        assert!(next.contains("tctl tokens add --type=app") && next.contains("--token"), "{next}");
        let untrusted = Error::denied("who is that").because(domain::error::Reason::UntrustedServer);
        assert_eq!(
            [untrusted, Error::unavailable("nobody answers")].map(|error| next_step(&error, "App")),
            [None, None]
        );
        assert!(may_heal(&Error::unsupported("404")) && may_heal(&Error::denied("token expired")));
        assert!(!may_heal(&Error::invalid("no token")), "nothing changes until somebody gives one");
    }
}
