//! This machine as the cluster knows it.

use std::sync::Arc;

use client::Client;
use crypto::{KeyPair, tls::ServerCertificate};
use domain::Error;
use service::Stop;
use tokio::sync::{Mutex, watch};

use crate::{
    Config, Identity, exchange,
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
    /// The identity in the data dir, or a new one by the join token.
    ///
    /// # Errors
    /// No identity and no way to join, a damaged data dir, or what the auth service answered.
    pub async fn obtain(config: Config) -> Result<Self, Error> {
        let root =
            config.data_dir.as_deref().ok_or_else(|| Error::invalid("a host needs a data_dir to keep what it is"))?;
        let directory = Directory::new(root, config.role);
        let state = directory.load()?;
        let now = config.clock.now();
        let identity = match state.identity {
            Some(identity) if identity.not_after() > now => identity,
            Some(identity) if config.token.is_none() => {
                return Err(Error::invalid(format!(
                    "the identity of this host has expired on {}: give a join token to join anew",
                    identity.not_after()
                )));
            }
            _ => join(&config, &directory, state.pending).await?,
        };
        Self::put_together(config, identity, Some(directory))
    }

    /// A host with an identity that was made for it in this process. It is kept in the data dir, if there is one.
    ///
    /// # Errors
    /// When TLS cannot use it, or it cannot be kept.
    pub fn with_identity(config: Config, identity: Identity) -> Result<Self, Error> {
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
    let key = match pending {
        Some(key) => key,
        None => {
            let algorithm = exchange::key_algorithm(&client).await?;
            KeyPair::generate(algorithm).map_err(|error| Error::internal(error.to_string()))?
        }
    };
    directory.save(&State { identity: None, pending: Some(key.clone()) })?;
    let certificates = exchange::join(config, &client, &host_id, &key).await?;
    let identity = Identity::new(key, certificates).map_err(|error| Error::unavailable(error.to_string()))?;
    directory.save(&State { identity: Some(identity.clone()), pending: None })?;
    tracing::info!(host_id, role = config.role.as_str(), until = %identity.not_after(), "joined the cluster");
    Ok(identity)
}
