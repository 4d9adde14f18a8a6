//! What an end certificate shall say, and whether our CA says such things.

use std::net::IpAddr;

use clock::Timestamp;
use crypto::x509::KeyUsage;
use crypto::{Algorithm, PublicKey};
use domain::identity::Identity;

use super::{Signer, WHAT};
use crate::Error;

/// The longest value of a subject attribute. Traits and join attributes are long; a megabyte of them would travel in
/// every handshake.
const LONGEST_VALUE: usize = 16 * 1024;

/// The most subject attributes and the most alternative names.
const MOST_ENTRIES: usize = 1024;

/// Alternative names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlternativeNames {
    /// DNS names, wildcards included.
    pub dns: Vec<String>,
    /// Addresses.
    pub ip: Vec<IpAddr>,
    /// URIs.
    pub uris: Vec<String>,
}

impl AlternativeNames {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.ip.is_empty() && self.uris.is_empty()
    }

    /// Sorts each name in: an address becomes an IP name, anything else a DNS name.
    pub fn from_hosts<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names = Self::default();
        for host in hosts {
            match host.parse::<IpAddr>() {
                Ok(address) if !names.ip.contains(&address) => names.ip.push(address),
                Err(_) if !names.dns.iter().any(|known| known == host) => names.dns.push(host.to_owned()),
                _ => {}
            }
        }
        names
    }
}

/// Which key usages a certificate gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Users, bots and hosts: digitalSignature and keyEncipherment, server and client authentication.
    Leaf,
    /// X.509-SVIDs: as [`Self::Leaf`], keyEncipherment for RSA keys only.
    Svid,
    /// digitalSignature and keyEncipherment, client authentication only.
    Client,
}

/// What an end certificate shall say.
#[derive(Debug, Clone)]
pub struct Template {
    /// Attributes as (OID, value), in the order of [`Identity::to_subject`].
    pub subject: Vec<(String, String)>,
    /// The key that is certified.
    pub public_key: PublicKey,
    /// Validity; see [`crate::not_before`].
    pub not_before: Timestamp,
    /// Validity.
    pub not_after: Timestamp,
    /// Alternative names.
    pub names: AlternativeNames,
    /// Key usages.
    pub usage: Usage,
}

impl Template {
    pub(super) fn key_usage(&self) -> KeyUsage {
        match self.usage {
            Usage::Svid if self.public_key.algorithm() != Algorithm::Rsa2048 => KeyUsage::DIGITAL_SIGNATURE,
            _ => KeyUsage::DIGITAL_SIGNATURE.and(KeyUsage::KEY_ENCIPHERMENT),
        }
    }

    /// Whether this authority may sign this.
    pub(super) fn check(&self, signer: &Signer) -> Result<(), Error> {
        let refuse = |reason: String| Err(Error::refused(WHAT, reason));
        let authority = &signer.certificate;
        if self.not_before >= self.not_after {
            return refuse("it would never be valid".to_owned());
        }
        if self.not_after > authority.not_after() {
            return refuse(format!("it would outlive its authority, which ends {}", authority.not_after()));
        }
        // The key of an authority in an end certificate would let its holder speak as the authority's subject.
        if self.public_key == signer.key.public {
            return refuse("the public key is the authority's own".to_owned());
        }
        if !authority.is_ca() || authority.spki_der() != signer.key.public.spki_der() {
            return refuse("the authority's certificate does not belong to its key".to_owned());
        }
        if self.subject.is_empty() && self.names.is_empty() {
            return refuse("it would name nobody".to_owned());
        }
        let names = self.names.dns.len() + self.names.ip.len() + self.names.uris.len();
        if self.subject.len() > MOST_ENTRIES || names > MOST_ENTRIES {
            return refuse(format!("more than {MOST_ENTRIES} attributes or names"));
        }
        if let Some((oid, _)) = self.subject.iter().find(|(oid, value)| !is_oid(oid) || value.len() > LONGEST_VALUE) {
            return refuse(format!("attribute {oid} is not an object identifier or longer than {LONGEST_VALUE} bytes"));
        }
        if let Some(name) = self.names.dns.iter().find(|name| !is_dns_name(name)) {
            return refuse(format!("{name:?} is not a DNS name"));
        }
        if let Some(uri) =
            self.names.uris.iter().find(|uri| uri.len() > 2048 || !uri.bytes().all(|b| b.is_ascii_graphic()))
        {
            return refuse(format!("{uri:?} is not a URI"));
        }
        Ok(())
    }
}

/// The certificate of a user or bot: everything that the identity says, valid from now (backdated) to its end.
pub fn user_template(identity: &Identity, public_key: PublicKey, now: Timestamp, not_after: Timestamp) -> Template {
    Template {
        subject: subject_of(identity),
        public_key,
        not_before: crate::not_before(now),
        not_after,
        names: AlternativeNames::default(),
        usage: Usage::Leaf,
    }
}

/// The certificate of a host or server: as [`user_template`], with the names that it answers to.
pub fn host_template(
    identity: &Identity,
    public_key: PublicKey,
    names: AlternativeNames,
    now: Timestamp,
    not_after: Timestamp,
) -> Template {
    Template { names, ..user_template(identity, public_key, now, not_after) }
}

fn subject_of(identity: &Identity) -> Vec<(String, String)> {
    identity.to_subject().into_iter().map(|(oid, value)| (oid.to_owned(), value)).collect()
}

fn is_oid(text: &str) -> bool {
    let mut arcs = text.split('.').map(|arc| arc.parse::<u32>().ok().filter(|number| number.to_string() == arc));
    matches!((arcs.next(), arcs.next()), (Some(Some(0..=2)), Some(Some(0..=39)))) && arcs.all(|arc| arc.is_some())
}

/// Letters, digits, dashes, underscores; a leading `*.`; labels of 1 to 63, at most 253 in all.
fn is_dns_name(name: &str) -> bool {
    let labels = name.strip_prefix("*.").unwrap_or(name);
    name.len() <= 253
        && labels.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}
