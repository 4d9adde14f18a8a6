//! Everything a certificate says about its holder, and how it says it: in an X.509 subject, and in SSH extensions.

pub mod oid;
mod ssh;
mod subject;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;

pub use ssh::{INTERNAL_JOIN_PRINCIPAL, NOLOGIN_PRINCIPAL_PREFIX, ssh_principals};

use crate::{resources::bot_instance::JoinAttrs, role::SystemRole};

/// What a user is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum UserType {
    /// Certificates of older versions do not say.
    #[default]
    Unknown,
    /// A local user.
    Local,
    /// From an identity provider.
    Sso,
    /// A machine.
    Bot,
}

impl UserType {
    /// The word in the certificate.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Local => "local",
            Self::Sso => "sso",
            Self::Bot => "bot",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "local" => Self::Local,
            "sso" => Self::Sso,
            "bot" => Self::Bot,
            _ => Self::Unknown,
        }
    }
}

/// The application that a certificate leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteToApp {
    /// The id of the session, which only its holder and proxies may know.
    pub session_id: String,
    /// The cluster that serves the application.
    pub cluster_name: String,
    /// Where people reach it.
    pub public_addr: String,
    /// What it is called.
    pub name: String,
    /// The role at AWS that is taken for it.
    pub aws_role_arn: String,
    /// The identity at Azure that is taken for it.
    pub azure_identity: String,
    /// The account at Google Cloud that is taken for it.
    pub gcp_service_account: String,
}

/// The database that a certificate leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteToDatabase {
    /// What the database server is called here.
    pub service_name: String,
    /// What it speaks.
    pub protocol: String,
    /// The user there.
    pub username: String,
    /// The database on it.
    pub database: String,
    /// The roles there that were asked for.
    pub roles: Vec<String>,
}

/// What a certificate may be used for that leads to an application and to nothing else (see [`Identity::usage`]).
pub const USAGE_APPS: &str = "usage:apps";

/// Everything a certificate says about its holder.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identity {
    /// The user; of a host `<host id>.<cluster>`.
    pub username: String,
    /// The one impersonating `username`.
    pub impersonator: String,
    /// The roles; of a host its one system role.
    pub roles: Vec<String>,
    /// What else an `Instance` certificate is good for.
    pub system_roles: Vec<SystemRole>,
    /// Logins. Empty for none: the marker principals belong to the certificate, not to the identity.
    pub principals: Vec<String>,
    /// Traits of the user.
    pub traits: BTreeMap<String, Vec<String>>,
    /// What the certificate may be used for; empty for everything.
    pub usage: Vec<String>,
    /// The cluster that the certificate leads to.
    pub route_to_cluster: String,
    /// The cluster that made it.
    pub teleport_cluster: String,
    /// Groups of Kubernetes.
    pub kubernetes_groups: Vec<String>,
    /// Users of Kubernetes.
    pub kubernetes_users: Vec<String>,
    /// The Kubernetes cluster that the certificate leads to.
    pub kubernetes_cluster: String,
    /// The application that the certificate leads to.
    pub route_to_app: RouteToApp,
    /// The database that the certificate leads to.
    pub route_to_database: RouteToDatabase,
    /// Database names that may be used.
    pub database_names: Vec<String>,
    /// Database users that may be used.
    pub database_users: Vec<String>,
    /// Roles at AWS that may be taken.
    pub aws_role_arns: Vec<String>,
    /// Identities at Azure that may be taken.
    pub azure_identities: Vec<String>,
    /// Accounts at Google Cloud that may be taken.
    pub gcp_service_accounts: Vec<String>,
    /// The second factor with which the certificate was got.
    pub mfa_verified: String,
    /// When the certificate ended that this one was got with.
    pub previous_identity_expires: Option<Timestamp>,
    /// The address that the user logged in from.
    pub login_ip: String,
    /// The only address that the certificate is good for.
    pub pinned_ip: String,
    /// Whether it may renew itself.
    pub renewable: bool,
    /// How often it has been renewed; see the generation rule.
    pub generation: u64,
    /// How the private key is kept.
    pub private_key_policy: String,
    /// Who the user is.
    pub user_type: UserType,
    /// Approved access requests.
    pub active_requests: Vec<String>,
    /// Whether it may not be used to get another certificate.
    pub disallow_reissue: bool,
    /// The only resources that it may reach, as the reference writes them.
    pub allowed_resource_ids: String,
    /// Of a connection test.
    pub connection_diagnostic_id: String,
    /// The bot.
    pub bot_name: String,
    /// The instance of the bot.
    pub bot_instance_id: String,
    /// What the join proved.
    pub join_attributes: Option<JoinAttrs>,
    /// SHA-256, in hex, of the name of the join token that the bot came with: what a lock on that token hits. The name
    /// itself may be a secret.
    pub join_token_hash: String,
    /// Trusted device.
    pub device_id: String,
    /// Its tag.
    pub device_asset_tag: String,
    /// Its credential.
    pub device_credential_id: String,
    /// Extensions that roles put into SSH certificates.
    pub cert_extensions: Vec<(String, String)>,
    /// What the roles permit in SSH sessions.
    pub ssh_permits: SshPermits,
    /// The end of the certificate; not part of the subject.
    pub expires: Option<Timestamp>,
}

/// What an SSH certificate permits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SshPermits {
    /// Windows of programs there may show here.
    pub x11_forwarding: bool,
    /// Keys of the agent here may be used there.
    pub agent_forwarding: bool,
    /// Ports may be forwarded, either way.
    pub port_forwarding: bool,
}

impl Identity {
    /// Whether the holder is a bot.
    #[must_use]
    pub fn is_bot(&self) -> bool {
        !self.bot_name.is_empty()
    }

    /// The system role, when the holder is a host.
    #[must_use]
    pub fn system_role(&self) -> Option<SystemRole> {
        match self.roles.as_slice() {
            [role] => SystemRole::ALL.iter().copied().find(|known| known.as_str() == role && self.is_host_name()),
            _ => None,
        }
    }

    /// The host id, when the holder is a host.
    #[must_use]
    pub fn host_id(&self) -> Option<&str> {
        self.system_role()?;
        self.username.strip_suffix(&self.teleport_cluster)?.strip_suffix('.')
    }

    /// Whether the certificate may be used from this address (none: nobody knows from where): it is pinned to no address,
    /// or to this one, however either is written.
    #[must_use]
    pub fn is_good_from(&self, address: Option<IpAddr>) -> bool {
        let pinned = self.pinned_ip.parse::<IpAddr>().map(|pinned| pinned.to_canonical());
        self.pinned_ip.is_empty() || address.is_some_and(|address| pinned == Ok(address.to_canonical()))
    }

    /// Host certificates are named `<host id>.<cluster>`; no user can be called so and have a system role as role, since
    /// no role resource may have the name of a system role.
    fn is_host_name(&self) -> bool {
        !self.teleport_cluster.is_empty()
            && self
                .username
                .strip_suffix(&self.teleport_cluster)
                .is_some_and(|host| host.len() > 1 && host.ends_with('.'))
    }
}
