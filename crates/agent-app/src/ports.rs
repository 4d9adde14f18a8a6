//! What this agent asks of the cluster, as ports; [`grpc`] answers them over the API.

mod changes;
pub mod grpc;

use std::{net::IpAddr, sync::Arc};

use async_trait::async_trait;
use clock::Timestamp;
use crypto::SecretString;
use domain::{Error, resources::app_server::AppServer};

use crate::{Blocked, Session, View};

/// A living session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// When it ends at the latest.
    pub not_after: Timestamp,
    /// The port of a TCP application that was asked for; 0: none in particular.
    pub target_port: u16,
}

/// Whether sessions live.
#[async_trait]
pub trait Sessions: Send + Sync + 'static {
    /// What there is to know of a living session; none when it is over or never was.
    ///
    /// # Errors
    /// Unavailable when auth does not answer.
    async fn live(&self, session_id: &str) -> Result<Option<Live>, Error>;
}

/// The signed word about who is calling.
#[derive(Debug, Clone)]
pub struct Assertion {
    /// A JWT.
    pub token: Arc<SecretString>,
    /// Its end.
    pub expires: Timestamp,
}

/// Signs assertions.
#[async_trait]
pub trait Assertions: Send + Sync + 'static {
    /// An assertion for a living session and an application that this host announces.
    ///
    /// # Errors
    /// The session is over, or auth does not answer.
    async fn assertion(&self, session_id: &str, app: &str) -> Result<Assertion, Error>;
}

/// Who serves what.
#[async_trait]
pub trait Presence: Send + Sync + 'static {
    /// Announces an application, until the resource's expiry.
    ///
    /// # Errors
    /// What auth answered.
    async fn announce(&self, server: AppServer) -> Result<(), Error>;

    /// Takes an application back.
    ///
    /// # Errors
    /// What auth answered.
    async fn withdraw(&self, host_id: &str, app: &str) -> Result<(), Error>;
}

/// Feeds a [`View`].
#[async_trait]
pub trait Changes: Send + Sync + 'static {
    /// Reads everything and then follows changes; returns when that broke.
    async fn follow(&self, view: &View) -> Error;
}

/// An application that was not dialled, for the audit log.
#[derive(Debug, Clone)]
pub struct DialDenied {
    /// The application.
    pub app: String,
    /// Its host and port, as defined.
    pub target_host: String,
    /// See `target_host`.
    pub target_port: u16,
    /// What the host stands for.
    pub resolved: Vec<IpAddr>,
    /// Why not.
    pub blocked: Blocked,
}

/// The audit log.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// `app.session.target.dial.denied`
    async fn dial_denied(&self, session: &Session, denied: DialDenied);
}

/// All of them.
#[derive(Clone)]
pub struct Ports {
    /// See [`Sessions`].
    pub sessions: Arc<dyn Sessions>,
    /// See [`Assertions`].
    pub assertions: Arc<dyn Assertions>,
    /// See [`Presence`].
    pub presence: Arc<dyn Presence>,
    /// See [`Changes`].
    pub changes: Arc<dyn Changes>,
    /// See [`Journal`].
    pub journal: Arc<dyn Journal>,
}
