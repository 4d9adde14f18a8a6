//! What a host needs to know before it can be one.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use client::{Proxies, Trust};
use clock::Clock;
use crypto::{Random, SecretString};
use domain::{Error, role::SystemRole};

use crate::Identity;

/// Everything about this host that does not change while it runs.
#[derive(Clone)]
pub struct Config {
    /// `host:port` of auth servers, or of proxies that lead to one; tried in order.
    pub auth_servers: Vec<String>,
    /// `host:port` of the proxies, or of a balancer before them, that links are made to. Empty: those that the auth
    /// service knows.
    pub entry: Vec<String>,
    /// What makes us believe the server that we join; later the authorities of our identity do.
    pub trust: Trust,
    /// The authority, where it is in this process: a host that has it neither joins nor shows an identity to renew it.
    pub issuer: Option<Arc<dyn Issuer>>,
    /// What lets us join. Needed until there is an identity.
    pub token: Option<SecretString>,
    /// How people call this host.
    pub node_name: String,
    /// What this host is to the cluster.
    pub role: SystemRole,
    /// Where the identity is kept. None: only in memory, where an [`Issuer`] makes it anew at each start.
    pub data_dir: Option<PathBuf>,
    /// Further names in the host certificate.
    pub additional_principals: Vec<String>,
    /// Further DNS names in the host certificate.
    pub dns_names: Vec<String>,
    /// Proxies on the way out of this network.
    pub out: Proxies,
    /// Time.
    pub clock: Clock,
    /// Jitter, and the id of a host that has none yet.
    pub random: Random,
}

/// Makes the identity of this host without a connection.
#[async_trait]
pub trait Issuer: Send + Sync {
    /// An identity with a key of its own.
    ///
    /// # Errors
    /// What the authority says.
    async fn issue(&self) -> Result<Identity, Error>;
}
