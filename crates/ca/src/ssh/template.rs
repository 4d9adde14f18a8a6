//! What an SSH certificate shall say.

use std::collections::BTreeMap;

use clock::Timestamp;
use crypto::ssh::CertificateType;
use crypto::{PublicKey, Random};
use domain::identity::{self, Identity};

/// What an SSH certificate shall say. Serial number and nonce are drawn when it is issued.
#[derive(Debug, Clone)]
pub struct Template {
    /// User or host.
    pub cert_type: CertificateType,
    /// The key that is certified.
    pub public_key: PublicKey,
    /// What logs name the certificate by.
    pub key_id: String,
    /// Who may be logged in as, or the host's names; never empty.
    pub principals: Vec<String>,
    /// Validity; see [`crate::not_before`].
    pub valid_after: Timestamp,
    /// Validity.
    pub valid_before: Timestamp,
    /// Options that a verifier must understand or refuse.
    pub critical_options: Vec<(String, String)>,
    /// Extensions.
    pub extensions: Vec<(String, String)>,
}

/// The certificate of a user or bot. Without logins it gets a principal that fits no account.
pub fn user_template(
    identity: &Identity,
    public_key: PublicKey,
    now: Timestamp,
    valid_before: Timestamp,
    random: &Random,
) -> Template {
    Template {
        cert_type: CertificateType::User,
        public_key,
        key_id: identity.username.clone(),
        principals: identity::ssh_principals(&identity.principals, random.uuid()),
        valid_after: crate::not_before(now),
        valid_before,
        critical_options: pairs(identity.ssh_critical_options()),
        extensions: pairs(identity.ssh_extensions()),
    }
}

/// The names under which a host is known to itself; every host certificate carries them.
pub const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The certificate of a host. Its principals are `<host id>.<cluster>`, `<host id>`, `<node>.<cluster>`, `<node>`,
/// `localhost`, the loopback addresses and what else the host is called.
pub fn host_template(
    identity: &Identity,
    node_name: &str,
    additional: &[String],
    public_key: PublicKey,
    now: Timestamp,
    valid_before: Timestamp,
) -> Template {
    let cluster = &identity.teleport_cluster;
    let own = [identity.host_id().unwrap_or_default(), node_name];
    let mut principals: Vec<String> = Vec::new();
    let named =
        own.iter().filter(|name| !name.is_empty()).flat_map(|name| [format!("{name}.{cluster}"), (*name).to_owned()]);
    let fixed = LOCAL_NAMES.map(str::to_owned);
    for principal in named.chain(fixed).chain(additional.iter().cloned()) {
        if !principal.is_empty() && !principals.contains(&principal) {
            principals.push(principal);
        }
    }
    Template {
        cert_type: CertificateType::Host,
        public_key,
        key_id: identity.username.clone(),
        principals,
        valid_after: crate::not_before(now),
        valid_before,
        critical_options: Vec::new(),
        extensions: pairs(identity.ssh_host_extensions()),
    }
}

fn pairs(map: BTreeMap<String, String>) -> Vec<(String, String)> {
    map.into_iter().collect()
}
