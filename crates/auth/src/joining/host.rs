//! A host joins, a proxy or an agent, and renews its certificates by itself afterwards.

use audit::{ConnectionMetadata, Status, events::join::InstanceJoin};
use crypto::PublicKey;
use domain::{Error, error::Reason, identity::Identity, names, resources::Token, role::SystemRole};
use store::settle;

use super::{
    JoinRequest,
    known::{self, Known, Vouched},
};
use crate::{
    Auth, Caller,
    certificates::{
        Issued,
        host::{HostNames, Prepared, identity},
    },
    instances::records,
};

/// What a host asks for when it renews.
#[derive(Debug)]
pub struct HostRenewal {
    /// What it is.
    pub role: SystemRole,
    /// What it is called.
    pub names: HostNames,
    /// The key for its X.509 certificate.
    pub tls_key: PublicKey,
    /// The key for its SSH certificate.
    pub ssh_key: PublicKey,
}

/// The hosts of which there is a program; a certificate for any other would be good for what nobody has thought about.
const fn is_built(role: SystemRole) -> bool {
    matches!(role, SystemRole::Proxy | SystemRole::App | SystemRole::Node | SystemRole::Instance)
}

pub(super) async fn join(auth: &Auth, caller: &Caller, request: &JoinRequest) -> Result<Issued, Error> {
    let refused = |reason| Error::denied("token expired or not found").because(reason);
    let mut change = auth.store.change();
    let token =
        change.read::<Token>(request.proof.token().expose()).await?.ok_or_else(|| refused(Reason::TokenUnknown))?;
    let attested = join::verifier(token.spec.join_method)?.verify(&token, &request.proof).await.map_err(|why| {
        tracing::info!(token = token.safe_name(), remote = caller.remote(), %why, "a join was refused");
        refused(Reason::TokenUnknown)
    })?;
    if !token.spec.roles.contains(&request.role) {
        return Err(refused(Reason::TokenRole));
    }
    let role = request.role;
    if !is_built(role) {
        return Err(Error::unsupported(format!("joining as {} is not supported yet", role.as_str())));
    }
    let mut names = checked(&request.host)?;
    // Its name is that of the auth service in the eyes of every client.
    if names.host_id == auth.config.host_id {
        return Err(Error::denied("HostID: this is the id of the auth service; the host needs one of its own"));
    }
    // Not in its certificates: the token may be good for many hosts and for a long time, and its name be guessed.
    let join_token_hash = records::token_hash(&token.metadata.name);
    auth.refuse_locked(&Identity { join_token_hash, ..identity(auth, role, &names.host_id) })?;
    let keys = known::fingerprint(&request.tls_key, &request.ssh_key);
    let known = known::read(&mut change, &names.host_id).await?;
    let vouched = known::refuse_taken(auth, caller, known.as_ref(), &names.host_id, role, &keys).await?;
    let mut known = known.unwrap_or_else(|| Known::new(auth.clock.now()));
    known.add_keys(role, keys);
    known.name(role, &mut names, vouched)?;
    let prepared = Prepared::new(auth, role, &names, &request.tls_key, &request.ssh_key)?;
    let change = known::put(change, &names.host_id, known, prepared.not_after())?;
    let joined = InstanceJoin {
        status: Status::succeeded(),
        connection: ConnectionMetadata::from_remote(caller.remote()),
        host_id: names.host_id,
        node_name: names.node_name,
        role: role.as_str().to_owned(),
        method: attested.method().as_str().to_owned(),
        token_name: token.safe_name(),
        token_expires: token.metadata.expires,
        ..InstanceJoin::default()
    };
    change.event(&joined).event(&prepared.event(caller)).commit().await?;
    prepared.sign(auth).await
}

/// A host renews: for its own id, as what it is.
///
/// # Errors
/// Denied for any other id or role; invalid names.
pub async fn renew(auth: &Auth, caller: &Caller, request: HostRenewal) -> Result<Issued, Error> {
    let mut names = request.names;
    // Official programs send the whole name of the host.
    if let Some(id) = names.host_id.strip_suffix(auth.cluster()).and_then(|id| id.strip_suffix('.')) {
        names.host_id = id.to_owned();
    }
    let is_itself =
        caller.system_role() == Some(request.role) && caller.identity().host_id() == Some(names.host_id.as_str());
    if !is_itself && caller.system_role() != Some(SystemRole::Admin) {
        return Err(Error::denied("access denied: a host gets certificates for itself only, as what it is")
            .because(Reason::AccessDenied));
    }
    let vouched = if is_itself { Vouched::Before } else { Vouched::Only };
    issue(auth, caller, request.role, &names, (&request.tls_key, &request.ssh_key), vouched).await
}

/// The identity of a service that runs in this process and goes through the API as any other host.
///
/// # Errors
/// Invalid names; when the host authority cannot sign.
pub async fn own_service(
    auth: &Auth,
    role: SystemRole,
    names: HostNames,
    tls_key: &PublicKey,
    ssh_key: &PublicKey,
) -> Result<Issued, Error> {
    let own = Caller::own_process(&auth.config.host_id, auth.cluster());
    let names = HostNames { host_id: auth.config.host_id.clone(), ..names };
    issue(auth, &own, role, &names, (tls_key, ssh_key), Vouched::Only).await
}

async fn issue(
    auth: &Auth,
    caller: &Caller,
    role: SystemRole,
    names: &HostNames,
    (tls_key, ssh_key): (&PublicKey, &PublicKey),
    vouched: Vouched,
) -> Result<Issued, Error> {
    if !is_built(role) {
        return Err(Error::unsupported(format!("certificates for {} are not supported yet", role.as_str())));
    }
    let names = checked(names)?;
    let attempt = || async {
        let mut names = names.clone();
        let mut change = auth.store.change();
        let known = known::read(&mut change, &names.host_id).await?;
        // A host that joined before names were remembered has those that it asks for first.
        let is_new = !known.as_ref().is_some_and(|known| known.has(role));
        let mut known = known.unwrap_or_else(|| Known::new(auth.clock.now()));
        known.name(role, &mut names, if is_new { Vouched::Only } else { vouched })?;
        known.add_keys(role, known::fingerprint(tls_key, ssh_key));
        let prepared = Prepared::new(auth, role, &names, tls_key, ssh_key)?;
        auth.refuse_locked(prepared.identity())?;
        let change = known::put(change, &names.host_id, known, prepared.not_after())?;
        change.event(&prepared.event(caller)).commit().await?;
        Ok(prepared)
    };
    settle(attempt).await?.sign(auth).await
}

/// An id in one spelling, so that two spellings are not two hosts with one name.
fn checked(names: &HostNames) -> Result<HostNames, Error> {
    names::UUID.check("HostID", &names.host_id)?;
    if names.host_id.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(Error::invalid("HostID: write the letters small"));
    }
    if !names.node_name.is_empty() {
        names::PRINCIPAL.check("NodeName", &names.node_name)?;
    }
    Ok(names.clone())
}
