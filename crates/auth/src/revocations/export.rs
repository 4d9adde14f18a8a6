//! A key revocation list for OpenSSH, or the X.509 CRLs of an authority.

use std::time::Duration;

use ca::revocation::{KeyRevocationList, Reason, Revoked, SshRevocation, x509_crl};
use clock::Timestamp;
use domain::{
    Error, Kind,
    ca::CaType,
    resources::{CertAuthority, Lock},
};
use rbac::{RuleContext, Verb};

use super::issued::{Locked, locked};
use crate::{Auth, Caller, Operation, authorities, decide::Asked, failure::internal};

/// How long a verifier may use a CRL: a day, so that a verifier whose fetching job died begins to complain.
const NEXT_UPDATE: Duration = Duration::from_secs(24 * 3600);

/// A list as a verifier reads it.
#[derive(Debug, Clone)]
pub struct RevocationList {
    /// The bytes of the file.
    pub data: Vec<u8>,
    /// The SHA-256 of the key that signed it; empty for one that is not signed.
    pub authority: String,
    /// When it was made.
    pub made_at: Timestamp,
}

/// Makes the lists of an authority: `krl` for `sshd`'s `RevokedKeys`, `crl` for X.509.
///
/// # Errors
/// Denied to who may not read locks; invalid for an unknown type or format, or an authority that has no such keys.
pub async fn export(auth: &Auth, caller: &Caller, ca_type: &str, format: &str) -> Result<Vec<RevocationList>, Error> {
    for verb in [Verb::List, Verb::Read] {
        let asked = Asked { operation: Operation::ReadRevocations, kind: Kind::Lock, verb, name: "" };
        auth.require(caller, &asked, &RuleContext::NONE)?;
    }
    let ca_type = if ca_type.is_empty() { CaType::User } else { authorities::parse(ca_type)? };
    let now = auth.clock.now();
    let authority = auth.store.repository::<CertAuthority>().fetch_in(ca_type.as_str(), auth.cluster()).await?;
    let mut locks = auth.store.all::<Lock>().await?;
    locks.retain(|lock| lock.is_in_force(now));
    let has_certificates = matches!(ca_type, CaType::User | CaType::Host);
    let locked = if has_certificates { locked(auth, &locks).await? } else { Locked::default() };
    match format {
        "krl" => Ok(vec![krl(auth, &authority, &locks, &locked, now)?]),
        "crl" => Ok(vec![crl(auth, &authority, &locked, now).await?]),
        other => Err(Error::invalid(format!("format: must be krl or crl, found {other:?}"))),
    }
}

fn krl(
    auth: &Auth,
    authority: &CertAuthority,
    locks: &[Lock],
    locked: &Locked,
    now: Timestamp,
) -> Result<RevocationList, Error> {
    let ca_type = authority.ca_type();
    let keys = ca::authority::trusted_ssh_keys(authority)
        .map_err(|error| internal("a certificate authority cannot be read", error))?;
    if keys.is_empty() {
        return Err(Error::invalid(format!(
            "the {ca_type} certificate authority has no SSH key; there is no krl of it"
        )));
    }
    let mut revocations = Vec::new();
    for key in keys {
        for key_id in locks.iter().filter_map(|lock| key_id(auth, ca_type, lock)) {
            revocations.push(SshRevocation::KeyId { authority: key.clone(), key_id });
        }
        let serials = locked.ssh.iter().map(|serial| SshRevocation::Serial { authority: key.clone(), serial: *serial });
        revocations.extend(serials);
    }
    let list = KeyRevocationList {
        version: u64::try_from(now.as_second()).unwrap_or_default(),
        generated: now,
        comment: format!("{ca_type} certificates of {}", auth.cluster()),
        revocations,
    };
    let data = list.to_bytes().map_err(|error| internal("the revocation list cannot be written", error))?;
    Ok(RevocationList { data, authority: String::new(), made_at: now })
}

/// The key id that all certificates of the one who is locked have: the user's name, or the host's.
fn key_id(auth: &Auth, ca_type: CaType, lock: &Lock) -> Option<String> {
    let target = &lock.spec.target;
    match ca_type {
        CaType::Host => {
            let host = if target.server_id.is_empty() { &target.node } else { &target.server_id };
            let suffix = format!(".{}", auth.cluster());
            (!host.is_empty()).then(|| format!("{}{suffix}", host.strip_suffix(&suffix).unwrap_or(host)))
        }
        _ => (!target.user.is_empty()).then(|| target.user.clone()),
    }
}

async fn crl(auth: &Auth, authority: &CertAuthority, locked: &Locked, now: Timestamp) -> Result<RevocationList, Error> {
    let ca_type = authority.ca_type();
    if authority.spec.active_keys.tls.is_empty() {
        return Err(Error::invalid(format!(
            "the {ca_type} certificate authority has no TLS key; there is no crl of it"
        )));
    }
    let signer = ca::authority::tls_signer(authority)
        .map_err(|error| internal("a certificate authority cannot be used", error))?;
    let revoked: Vec<Revoked> = locked
        .tls
        .iter()
        .map(|(serial, since)| Revoked { serial: serial.clone(), since: *since, reason: Reason::Unspecified })
        .collect();
    let next = now.saturating_add(NEXT_UPDATE).ok();
    let data = x509_crl(&revoked, now, next, &signer, &*auth.keystore)
        .await
        .map_err(|error| internal("the revocation list cannot be signed", error))?;
    let authority = hex::encode(signer.key.public.sha256());
    Ok(RevocationList { data, authority, made_at: now })
}
