//! The parts that many events share. Field names and order are those of the v18 API's messages.

use std::{collections::BTreeMap, net::SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What kind of user acted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum UserKind {
    /// Not known, or nobody yet.
    #[default]
    Unspecified,
    /// A person.
    Human,
    /// A bot.
    Bot,
    /// A part of the system itself.
    System,
}

impl From<u8> for UserKind {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::Human,
            2 => Self::Bot,
            3 => Self::System,
            _ => Self::Unspecified,
        }
    }
}

impl From<UserKind> for u8 {
    fn from(kind: UserKind) -> u8 {
        match kind {
            UserKind::Unspecified => 0,
            UserKind::Human => 1,
            UserKind::Bot => 2,
            UserKind::System => 3,
        }
    }
}

impl UserKind {
    fn is_unspecified(&self) -> bool {
        *self == Self::Unspecified
    }
}

/// Who did it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserMetadata {
    /// The user's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The operating system login, where one was used.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub login: String,
    /// Who acts in the user's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub impersonator: String,
    /// Approved access requests in effect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub access_requests: Vec<String>,
    /// Person, bot or system.
    #[serde(skip_serializing_if = "UserKind::is_unspecified")]
    pub user_kind: UserKind,
    /// The bot behind the user, if it is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bot_name: String,
    /// The bot's instance.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bot_instance_id: String,
    /// The cluster that the user belongs to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_cluster_name: String,
    /// The roles in effect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_roles: Vec<String>,
}

impl UserMetadata {
    /// The system acting by itself, for example at start.
    pub fn system(name: impl Into<String>) -> Self {
        Self { user: name.into(), user_kind: UserKind::System, ..Self::default() }
    }
}

/// What it was done to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceMetadata {
    /// The resource's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// When the resource ends; the year 1 when never.
    #[serde(with = "crate::time::optional")]
    pub expires: Option<Timestamp>,
    /// Who changed it last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub updated_by: String,
    /// How long it lives, as a person wrote it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ttl: String,
}

impl ResourceMetadata {
    /// A resource changed by somebody.
    pub fn new(name: impl Into<String>, expires: Option<Timestamp>, updated_by: impl Into<String>) -> Self {
        Self { name: name.into(), expires, updated_by: updated_by.into(), ttl: String::new() }
    }
}

/// From where it was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionMetadata {
    /// Our end of the connection.
    #[serde(rename = "addr.local", skip_serializing_if = "String::is_empty")]
    pub local_addr: String,
    /// The other end.
    #[serde(rename = "addr.remote", skip_serializing_if = "String::is_empty")]
    pub remote_addr: String,
    /// What was spoken.
    #[serde(rename = "proto", skip_serializing_if = "String::is_empty")]
    pub protocol: String,
}

impl ConnectionMetadata {
    /// A connection known by its other end only.
    pub fn from_remote(remote: impl Into<String>) -> Self {
        Self { remote_addr: remote.into(), ..Self::default() }
    }
}

impl From<SocketAddr> for ConnectionMetadata {
    fn from(remote: SocketAddr) -> Self {
        Self::from_remote(remote.to_string())
    }
}

/// How it went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Whether it was done.
    pub success: bool,
    /// Why not, for administrators.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// What the person in front of it was told.
    #[serde(rename = "message", skip_serializing_if = "String::is_empty")]
    pub user_message: String,
}

impl Status {
    /// It was done.
    pub fn succeeded() -> Self {
        Self { success: true, ..Self::default() }
    }

    /// It was not done, and why.
    pub fn failed(error: impl ToString) -> Self {
        Self { error: error.to_string(), ..Self::default() }
    }
}

/// An application, as it was at the time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppMetadata {
    /// Where the application listens.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub app_uri: String,
    /// Where people reach it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub app_public_addr: String,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub app_labels: BTreeMap<String, String>,
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub app_name: String,
}

/// What program asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientMetadata {
    /// The program's own description of itself.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
}
