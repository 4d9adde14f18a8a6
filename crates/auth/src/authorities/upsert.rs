//! Trusted keys of an authority change: further ones of our own cluster, all of another cluster's.

use audit::{
    ResourceMetadata,
    events::cert::{AuthorityCreate, AuthorityUpdate},
};
use domain::{
    Error, Kind, Resource as _,
    error::Reason,
    resources::{CertAuthority, cert_authority::KeySet},
    role::SystemRole,
};
use rbac::{RuleContext, Verb};
use store::settle;

use super::pins;
use crate::{Auth, Caller, Operation, decide::Asked};

/// Stores the trusted keys of an authority. What is active in our own cluster cannot be changed by this: whoever could
/// replace it would be the authority.
///
/// # Errors
/// Denied; invalid for keys that cannot be read, private keys, or a try to change our active keys.
pub async fn upsert(auth: &Auth, caller: &Caller, mut authority: CertAuthority) -> Result<CertAuthority, Error> {
    for verb in [Verb::Create, Verb::Update] {
        let name = authority.ca_type().as_str();
        let asked = Asked { operation: Operation::UpsertAuthority, kind: Kind::CertAuthority, verb, name };
        auth.require(caller, &asked, &RuleContext::of(&authority))?;
    }
    authority.set_defaults();
    authority.validate()?;
    check_keys(&authority)?;
    if authority.spec.cluster_name != auth.cluster() {
        return foreign(auth, caller, authority).await;
    }
    settle(|| own(auth, caller, &authority)).await
}

async fn foreign(auth: &Auth, caller: &Caller, authority: CertAuthority) -> Result<CertAuthority, Error> {
    let event = AuthorityCreate {
        resource: ResourceMetadata::new(authority.name(), authority.metadata.expires, caller.name()),
        user: caller.user_metadata(),
        connection: caller.connection(),
        ca_type: authority.ca_type().as_str().to_owned(),
        pins: pins(&authority)?,
    };
    let receipt = auth.store.change().upsert(&authority)?.event(&event).commit().await?;
    Ok(receipt.stamp(authority))
}

/// Our own authority: only its further trusted keys are taken over, and only from the administrator: whoever holds the private
/// half of one can make any certificate, an administrator's too, so no rule may give that away.
async fn own(auth: &Auth, caller: &Caller, wanted: &CertAuthority) -> Result<CertAuthority, Error> {
    let ca_type = wanted.ca_type();
    let mut change = auth.store.change();
    let mut stored = change.fetch_in::<CertAuthority>(ca_type.as_str(), auth.cluster()).await?;
    let active = public_halves(&wanted.spec.active_keys);
    if !active.is_empty() && active != public_halves(&stored.spec.active_keys) {
        return Err(Error::invalid(format!(
            "spec.active_keys: the active keys of the cluster's own {ca_type} certificate authority cannot be changed"
        )));
    }
    let trusted = public_halves(&wanted.spec.additional_trusted_keys);
    let is_admin = caller.system_role() == Some(SystemRole::Admin);
    if !is_admin && trusted != public_halves(&stored.spec.additional_trusted_keys) {
        return Err(Error::denied(
            "access denied: which further keys our own cluster trusts is for its administrator to say, on the auth host",
        )
        .because(Reason::AccessDenied));
    }
    stored.spec.additional_trusted_keys =
        with_private_halves(&wanted.spec.additional_trusted_keys, &stored.spec.additional_trusted_keys);
    let event = AuthorityUpdate {
        resource: ResourceMetadata::new(stored.name(), None, caller.name()),
        user: caller.user_metadata(),
        connection: caller.connection(),
        ca_type: ca_type.as_str().to_owned(),
        pins: pins(&stored)?,
    };
    let receipt = change.update(&stored)?.event(&event).commit().await?;
    Ok(receipt.stamp(stored).without_secrets())
}

/// Every key must be readable, and must come without its private half: what we cannot seal we do not keep.
fn check_keys(authority: &CertAuthority) -> Result<(), Error> {
    let unreadable = |error: ca::Error| Error::invalid(format!("spec: {error}"));
    ca::authority::trusted_certificates(authority).map_err(unreadable)?;
    ca::authority::trusted_ssh_keys(authority).map_err(unreadable)?;
    ca::authority::trusted_jwt_keys(authority).map_err(unreadable)?;
    // Taken as it stands, an empty document would withdraw every further key that is trusted.
    let sets = [&authority.spec.active_keys, &authority.spec.additional_trusted_keys];
    if sets.into_iter().all(|set| public_halves(set).is_empty()) {
        return Err(Error::invalid("spec: an authority needs at least one key"));
    }
    if authority.clone().without_secrets() != *authority {
        return Err(Error::invalid("spec: private keys of authorities cannot be brought in by this call"));
    }
    Ok(())
}

/// What identifies the keys of a set, for comparison.
fn public_halves(keys: &KeySet) -> Vec<&[u8]> {
    let ssh = keys.ssh.iter().map(|pair| pair.public_key.0.as_slice());
    let tls = keys.tls.iter().map(|pair| pair.cert.0.as_slice());
    let jwt = keys.jwt.iter().map(|pair| pair.public_key.0.as_slice());
    ssh.chain(tls).chain(jwt).map(<[u8]>::trim_ascii).collect()
}

/// The wanted keys; those that were there before keep their sealed private halves, for a rotation that is under way.
fn with_private_halves(wanted: &KeySet, stored: &KeySet) -> KeySet {
    let mut keys = wanted.clone();
    for pair in &mut keys.ssh {
        if let Some(known) = stored.ssh.iter().find(|known| known.public_key == pair.public_key) {
            pair.clone_from(known);
        }
    }
    for pair in &mut keys.tls {
        if let Some(known) = stored.tls.iter().find(|known| known.cert == pair.cert) {
            pair.clone_from(known);
        }
    }
    for pair in &mut keys.jwt {
        if let Some(known) = stored.jwt.iter().find(|known| known.public_key == pair.public_key) {
            pair.clone_from(known);
        }
    }
    keys
}
