//! What this agent asks of the cluster, as ports; [`grpc`] answers them over the API.

mod changes;
pub mod grpc;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

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
    pub token: SecretString,
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
    /// Reads everything and then follows changes, those of `app` resources only if they are wanted; returns when that
    /// broke.
    async fn follow(&self, view: &View, wants_apps: bool) -> Error;
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

/// Something that the audit log is told.
#[derive(Debug, Clone)]
pub struct Report {
    /// In which session.
    pub session: Session,
    /// Where its client is.
    pub source: Option<SocketAddr>,
    /// What.
    pub what: Happened,
}

impl Report {
    /// What it takes in a call: a line for itself, and one for each kind of requests.
    pub(crate) fn lines(&self) -> usize {
        match &self.what {
            Happened::Requests(_, requests) => 1 + requests.len(),
            _ => 1,
        }
    }
}

/// See [`Report`].
#[derive(Debug, Clone)]
pub enum Happened {
    /// It was not let in: why.
    Refused(String),
    /// A stretch of requests began, with this id.
    Chunk(String),
    /// The requests of the stretch with this id.
    Requests(String, Vec<Requests>),
    /// A running connection was ended: why.
    Cut(String),
    /// The application was not dialled.
    DialDenied(DialDenied),
}

/// Like requests of a stretch; without method and path those that were too many to be told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requests {
    /// The method.
    pub method: String,
    /// The path, without the query, which may hold secrets.
    pub path: String,
    /// The status of the answers.
    pub status: u16,
    /// How many there were.
    pub count: u64,
}

/// The audit log.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Records what happened.
    ///
    /// # Errors
    /// Unavailable when it may be tried again; limit when fewer may be taken.
    async fn report(&self, reports: &[Report]) -> Result<(), Error>;
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
