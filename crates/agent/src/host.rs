//! This machine as the cluster knows it.

use std::sync::Arc;

use client::Client;
use crypto::{KeyPair, tls::ServerCertificate};
use domain::{Error, error::Reason};
use service::Stop;
use tokio::sync::{Mutex, watch};

use crate::{
    Certificates, Config, Identity, exchange,
    identity::{Directory, State},
    keep,
};

/// The identity of this host, which follows renewals, and a client that shows it. Cheap to clone.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    config: Config,
    directory: Option<Directory>,
    identity: watch::Sender<Arc<Identity>>,
    certificate: Arc<ServerCertificate>,
    client: Mutex<Option<(Arc<Identity>, Client)>>,
}

impl Host {
    /// The identity that the issuer in this process makes, else that in the data dir, or a new one by the join token.
    ///
    /// # Errors
    /// No identity and no way to join, a damaged data dir, or what the auth service answered.
    pub async fn obtain(config: Config) -> Result<Self, Error> {
        if let Some(issuer) = &config.issuer {
            let identity = issuer.issue().await?;
            return Self::with_identity(config, identity);
        }
        let root =
            config.data_dir.as_deref().ok_or_else(|| Error::invalid("a host needs a data_dir to keep what it is"))?;
        let directory = Directory::new(root, config.role);
        let state = directory.load()?;
        let now = config.clock.now();
        let identity = match state.identity {
            Some(identity) if identity.not_after() > now => named(&config, &directory, identity, state.pending).await,
            Some(identity) if config.token.is_none() => {
                return Err(Error::invalid(format!(
                    "the identity of this host has expired on {}: give a join token to join anew",
                    identity.not_after()
                )));
            }
            // Its old key shows that it is the host that it was.
            expired => {
                let key = state.pending.or_else(|| expired.map(|identity| identity.key().clone()));
                let identity = join(&config, &directory, key).await?;
                // To keys alone the auth service gives the names that the host had.
                named(&config, &directory, identity, None).await
            }
        };
        Self::put_together(config, identity, Some(directory))
    }

    /// A host with an identity that was made for it. It is kept in the data dir, if there is one.
    pub(crate) fn with_identity(config: Config, identity: Identity) -> Result<Self, Error> {
        let directory = config.data_dir.as_deref().map(|root| Directory::new(root, config.role));
        if let Some(directory) = &directory {
            directory.save(&State { identity: Some(identity.clone()), pending: None })?;
        }
        Self::put_together(config, identity, directory)
    }

    fn put_together(config: Config, identity: Identity, directory: Option<Directory>) -> Result<Self, Error> {
        let chain = identity.chain().map_err(|error| Error::invalid(error.to_string()))?;
        let certificate = ServerCertificate::new(chain);
        let identity = watch::Sender::new(Arc::new(identity));
        Ok(Self(Arc::new(Inner { config, directory, identity, certificate, client: Mutex::new(None) })))
    }

    /// What it was made from.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The identity as it is now.
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.0.identity.borrow())
    }

    /// Told of each new identity.
    pub fn changed(&self) -> watch::Receiver<Arc<Identity>> {
        self.0.identity.subscribe()
    }

    /// What a server of this host shows; follows renewals.
    pub fn certificate(&self) -> Arc<ServerCertificate> {
        Arc::clone(&self.0.certificate)
    }

    /// A client of the auth service that shows the present identity. Clones share a connection.
    ///
    /// # Errors
    /// See [`Client::connect`].
    pub async fn client(&self) -> Result<Client, Error> {
        let mut slot = self.0.client.lock().await;
        let identity = self.identity();
        if let Some((shown, client)) = slot.as_ref()
            && Arc::ptr_eq(shown, &identity)
        {
            return Ok(client.clone());
        }
        let client = exchange::connect(&self.0.config, &identity).await?;
        *slot = Some((identity, client.clone()));
        Ok(client)
    }

    /// Renews the identity in time and follows the cluster's host authorities, until `stop`.
    pub async fn keep(&self, stop: Stop) {
        keep::run(self, stop).await;
    }

    pub(crate) fn directory(&self) -> Option<&Directory> {
        self.0.directory.as_ref()
    }

    /// Uses another identity from now on.
    pub(crate) fn replace(&self, identity: Identity) -> Result<(), Error> {
        let chain = identity.chain().map_err(|error| Error::unavailable(error.to_string()))?;
        self.0.certificate.set(chain);
        self.0.identity.send_replace(Arc::new(identity));
        Ok(())
    }
}

async fn join(config: &Config, directory: &Directory, pending: Option<KeyPair>) -> Result<Identity, Error> {
    let host_id = directory.host_id(&config.random)?;
    let client = exchange::connect_to_join(config).await?;
    let key = key(&client, pending).await?;
    directory.save(&State { identity: None, pending: Some(key.clone()) })?;
    let certificates = match exchange::join(config, &client, &host_id, &key).await {
        Err(error) if error.reason == Some(Reason::HostTaken) => {
            // Another service of this machine can show that the id is ours.
            let companion = directory.companion(config.clock.now()).filter(|other| other.host_id() == host_id);
            let Some(companion) = companion else { return Err(error) };
            let client = exchange::connect(config, &companion).await?;
            exchange::join(config, &client, &host_id, &key).await?
        }
        certificates => certificates?,
    };
    joined(config, directory, key, certificates)
}

/// The identity, or one that also has the names that were configured since it was made: only who has a join token gets
/// names that it did not have.
async fn named(config: &Config, directory: &Directory, identity: Identity, pending: Option<KeyPair>) -> Identity {
    let missing = identity.missing(&config.dns_names);
    if missing.is_empty() {
        return identity;
    }
    let again = async {
        let client = exchange::connect(config, &identity).await?;
        let key = key(&client, pending).await?;
        directory.save(&State { identity: Some(identity.clone()), pending: Some(key.clone()) })?;
        let certificates = exchange::join(config, &client, identity.host_id(), &key).await?;
        joined(config, directory, key, certificates)
    };
    again.await.unwrap_or_else(|error| {
        tracing::warn!(
            ?missing,
            %error,
            "the certificate of this host goes without names that are configured; a host gets new names with a join token: \
             set join_params to one (tctl tokens add) and start again"
        );
        identity
    })
}

async fn key(client: &Client, pending: Option<KeyPair>) -> Result<KeyPair, Error> {
    if let Some(key) = pending {
        return Ok(key);
    }
    let algorithm = exchange::key_algorithm(client).await?;
    KeyPair::generate(algorithm).map_err(|error| Error::internal(error.to_string()))
}

fn joined(config: &Config, directory: &Directory, key: KeyPair, certificates: Certificates) -> Result<Identity, Error> {
    let identity = Identity::new(key, certificates).map_err(|error| Error::unavailable(error.to_string()))?;
    directory.save(&State { identity: Some(identity.clone()), pending: None })?;
    let (host_id, role) = (identity.host_id(), config.role.as_str());
    tracing::info!(host_id, role, until = %identity.not_after(), "joined the cluster");
    Ok(identity)
}
