//! Events about certificates and the authorities that sign them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::events;

/// A number of 64 bits as text: whoever reads JSON may round numbers above 2^53, and the API carries events so. Records
/// that have it as a number are read, too.
mod serial {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }

    pub(super) fn serialize<S: Serializer>(serial: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        match serial {
            Some(serial) => serializer.collect_str(serial),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        match Option::deserialize(deserializer)? {
            None => Ok(None),
            Some(Written::Number(serial)) => Ok(Some(serial)),
            Some(Written::Text(text)) => text.parse().map(Some).map_err(D::Error::custom),
        }
    }
}

events! {
    /// A certificate (an X.509 and SSH pair, usually) was issued to a user or a bot.
    CertificateCreate = "cert.create" ["TC000I"] (client) {
        /// What kind of certificate: `user`.
        #[serde(skip_serializing_if = "String::is_empty")]
        cert_type: String,
        /// What the certificate says.
        identity: CertificateIdentity,
        /// The X.509 certificate's serial number in hexadecimal.
        #[serde(skip_serializing_if = "String::is_empty")]
        serial_number: String,
        /// The SSH certificate's serial number, in decimal as `ssh-keygen -L` shows it.
        #[serde(default, with = "serial", skip_serializing_if = "Option::is_none")]
        ssh_serial_number: Option<u64>,
        /// Who asked for it, when that is not the identity's own user; with `addr.remote` of the request.
        #[serde(rename = "addr.remote", skip_serializing_if = "String::is_empty")]
        remote_addr: String,
        /// The generation of a renewable certificate.
        #[serde(skip_serializing_if = "Option::is_none")]
        generation: Option<u64>,
    }

    /// A renewable certificate was presented whose generation is behind: a copy of it exists, the instance is locked.
    RenewableCertificateGenerationMismatch = "cert.generation_mismatch" ["TCB00W"] (user, connection) {
        /// The generation in the store.
        stored_generation: u64,
        /// The generation in the certificate.
        presented_generation: u64,
        /// The lock that was made.
        #[serde(skip_serializing_if = "String::is_empty")]
        lock: String,
    }

    /// A certificate authority was made.
    AuthorityCreate = "tessera.cert_authority.create" ["TSR030I"] (resource, user, connection) {
        /// Its type.
        ca_type: String,
        /// The hashes of its certificates' public keys.
        pins: Vec<String>,
    }

    /// A certificate authority was changed.
    AuthorityUpdate = "tessera.cert_authority.update" ["TSR031W"] (resource, user, connection) {
        /// Its type.
        ca_type: String,
        /// The hashes of its certificates' public keys.
        pins: Vec<String>,
    }

    /// A certificate authority was deleted.
    AuthorityDelete = "tessera.cert_authority.delete" ["TSR032W"] (resource, user, connection) {
        /// Its type.
        ca_type: String,
    }

    /// Private keys of a certificate authority were handed out in the clear, or that was refused.
    AuthorityExport = "tessera.cert_authority.export_keys" ["TSR033W", "TSR033E"]
    by |event| usize::from(!event.status.success), (status, resource, user, connection) {
        /// Its type.
        ca_type: String,
    }
}

/// What an issued certificate says, as far as a log reader wants to know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateIdentity {
    /// The user.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Who asked for it in the user's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub impersonator: String,
    /// The roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// What the certificate is restricted to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub usage: Vec<String>,
    /// The SSH principals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logins: Vec<String>,
    /// Kubernetes groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kubernetes_groups: Vec<String>,
    /// Kubernetes users.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kubernetes_users: Vec<String>,
    /// When the certificate ends.
    #[serde(with = "crate::time::optional")]
    pub expires: Option<Timestamp>,
    /// The cluster to route to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub route_to_cluster: String,
    /// The Kubernetes cluster to route to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kubernetes_cluster: String,
    /// The traits.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub traits: BTreeMap<String, Vec<String>>,
    /// The application to route to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_to_app: Option<RouteToApp>,
    /// The cluster that issued it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub teleport_cluster: String,
    /// The address that the certificate was issued to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_ip: String,
    /// Approved access requests in effect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub access_requests: Vec<String>,
    /// Whether no further certificate can be had with it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disallow_reissue: bool,
    /// When the certificate that this one was derived from ends.
    #[serde(with = "crate::time::optional")]
    pub prev_identity_expires: Option<Timestamp>,
    /// How the private key must be protected.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub private_key_policy: String,
    /// The bot.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bot_name: String,
    /// The bot's instance.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bot_instance_id: String,
    /// SHA-256 of the name of the token that the bot joined with; the name may be a secret.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub join_token_hash: String,
}

/// The application that a certificate is for. The session id is never the id itself but its fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteToApp {
    /// The application's name.
    pub name: String,
    /// The session's fingerprint.
    pub session_id: String,
    /// Where people reach it.
    pub public_addr: String,
    /// The cluster that serves it.
    pub cluster_name: String,
    /// Where it listens.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uri: String,
}
