//! `GenerateUserCerts`: a bot renews, a bot or a user takes on roles, a user gets a fresh pair, an administrator signs.

use std::{collections::BTreeMap, sync::Arc};

use audit::{UserKind, UserMetadata};
use clock::Timestamp;
use crypto::PublicKey;
use domain::{
    Error, Kind,
    error::Reason,
    identity::{Identity, SshPermits, UserType},
    names,
    resources::{User, user::Traits},
};
use rbac::{AccessChecker, Named, Principal, Verb};
use store::settle;

use super::{Issued, certificate_event};
use crate::{
    Auth, Caller, Operation,
    app_sessions::{self, create::Route},
    decide::Asked,
    instances::{
        note_arrival,
        renew::{Renewal, renew},
    },
};

/// Why a role cannot be taken on: the same for one that does not exist, so that nobody finds out which roles there are.
fn refused_role() -> Error {
    Error::denied("access denied: a requested role cannot be taken on").because(Reason::AccessDenied)
}

/// What is asked for. A key that is missing means that this certificate is not wanted.
#[derive(Debug, Clone, Default)]
pub struct UserCertificates {
    /// For whom.
    pub username: String,
    /// The key for the X.509 certificate.
    pub tls_key: Option<PublicKey>,
    /// The key for the SSH certificate.
    pub ssh_key: Option<PublicKey>,
    /// When they are to end.
    pub expires: Option<Timestamp>,
    /// The roles to take on, when `use_role_requests` is set.
    pub role_requests: Vec<String>,
    /// Whether the certificate is for `role_requests` instead of the caller's own roles.
    pub use_role_requests: bool,
    /// Whether a certificate with taken-on roles may be used to get another one.
    pub reissuable: bool,
    /// The cluster that the certificate leads to.
    pub route_to_cluster: String,
    /// The application that the X.509 certificate leads to; a session with it begins.
    pub route_to_app: Option<Route>,
    /// What the request asks for and this server does not do yet, by name.
    pub unsupported: Option<&'static str>,
}

/// Issues certificates for a user.
///
/// # Errors
/// Denied for what the caller may not have; invalid without a key; unsupported for routes to things that do not exist yet.
pub async fn issue(auth: &Auth, caller: &Caller, request: UserCertificates) -> Result<Issued, Error> {
    if let Some(what) = request.unsupported {
        return Err(Error::unsupported(format!("{what} is not supported yet")));
    }
    if request.tls_key.is_none() && request.ssh_key.is_none() {
        return Err(Error::invalid("a public key is needed: TLSPublicKey, SSHPublicKey or both"));
    }
    // Before anything else: what may not be used for the own name again may still less be used for somebody else's.
    if caller.identity().disallow_reissue {
        return Err(Error::denied("access denied: this certificate cannot be used to get another one")
            .because(Reason::WrongCertificate));
    }
    if !request.route_to_cluster.is_empty() {
        names::CLUSTER.check("RouteToCluster", &request.route_to_cluster)?;
    }
    let is_own = request.username.is_empty() || request.username == caller.name();
    match (is_own, request.use_role_requests) {
        (false, _) => Box::pin(other_user(auth, caller, &request)).await,
        (true, _) if caller.system_role().is_some() => {
            Err(Error::denied("access denied: a part of the system has no user certificate")
                .because(Reason::WrongCertificate))
        }
        (true, true) => with_roles(auth, caller, &request).await,
        (true, false) if caller.identity().renewable => Box::pin(own_renewal(auth, caller, &request)).await,
        (true, false) => again(auth, caller, &request).await,
    }
}

/// A bot's internal identity renews itself.
async fn own_renewal(auth: &Auth, caller: &Caller, request: &UserCertificates) -> Result<Issued, Error> {
    if request.route_to_app.is_some() {
        return Err(Error::invalid("a bot reaches an application with roles that it takes on: use_role_requests"));
    }
    let (Some(tls_key), Some(ssh_key)) = (&request.tls_key, &request.ssh_key) else {
        return Err(Error::invalid("a renewal needs both keys: TLSPublicKey and SSHPublicKey"));
    };
    let identity = caller.identity();
    let renewal = Renewal {
        identity,
        presented_from: caller.issued_at().unwrap_or(Timestamp::MIN),
        presented_until: identity.expires.unwrap_or_else(|| auth.clock.now()),
        tls_key,
        ssh_key,
        expires: request.expires,
        in_grace: false,
    };
    renew(auth, caller, renewal).await
}

/// The caller's own name with other roles: what bots do for their outputs.
async fn with_roles(auth: &Auth, caller: &Caller, request: &UserCertificates) -> Result<Issued, Error> {
    if !caller.identity().impersonator.is_empty() {
        return Err(Error::denied("access denied: a certificate with taken-on roles cannot take on further ones")
            .because(Reason::WrongCertificate));
    }
    if request.role_requests.is_empty() {
        return Err(Error::invalid("role_requests: at least one role is needed with use_role_requests"));
    }
    let mut names = request.role_requests.clone();
    names.sort();
    names.dedup();
    let mut roles = Vec::with_capacity(names.len());
    for name in &names {
        // Unknown and forbidden look the same to a caller that may not know which roles exist.
        let role = auth.role(name).ok_or_else(refused_role)?;
        roles.push(role);
    }
    let named: Vec<Named<'_>> = roles.iter().map(|role| Named::of(role.role())).collect();
    let asked = Asked {
        operation: Operation::IssueUserCertificates,
        kind: Kind::Role,
        verb: Verb::Use,
        name: &names.join(","),
    };
    auth.enforce(caller, &asked, caller.access().check_impersonate_roles(&named)).map_err(|_| refused_role())?;
    let own = caller.identity();
    let base = Identity { impersonator: own.username.clone(), disallow_reissue: !request.reissuable, ..basis(own) };
    let limit = own.expires;
    finish(auth, caller, request, base, names, own.traits.clone(), limit).await
}

/// A user's own certificate again, never beyond the end of the one it is asked with.
async fn again(auth: &Auth, caller: &Caller, request: &UserCertificates) -> Result<Issued, Error> {
    let own = caller.identity();
    let base = Identity { impersonator: own.impersonator.clone(), ..basis(own) };
    finish(auth, caller, request, base, own.roles.clone(), own.traits.clone(), own.expires).await
}

/// Somebody else's certificate: signed by an administrator of this machine, or by one who may impersonate that user.
async fn other_user(auth: &Auth, caller: &Caller, request: &UserCertificates) -> Result<Issued, Error> {
    // From name to name the audit log would show the last step only.
    if !caller.identity().impersonator.is_empty() {
        return Err(Error::denied("access denied: a certificate got by impersonation cannot impersonate anybody else")
            .because(Reason::WrongCertificate));
    }
    let user = auth.store.get::<User>(&request.username).await?;
    let is_admin = caller.system_role() == Some(domain::role::SystemRole::Admin);
    let mut impersonator = String::new();
    if !is_admin {
        // Asked whether the user exists or not: only who may become it learns that.
        let snapshot = auth.cache.snapshot();
        let held = user.iter().flat_map(|user| &user.spec.roles);
        let roles: Vec<_> = held.filter_map(|name| snapshot.role(name)).collect();
        let named: Vec<Named<'_>> = roles.iter().map(|role| Named::of(&**role)).collect();
        let asked = Asked {
            operation: Operation::IssueUserCertificates,
            kind: Kind::User,
            verb: Verb::Use,
            name: &request.username,
        };
        let nothing = BTreeMap::new();
        let absent = Named { name: &request.username, labels: &nothing };
        let wanted = user.as_ref().map_or(absent, Named::of);
        auth.enforce(caller, &asked, caller.access().check_impersonate_user(wanted, &named))?;
        impersonator = caller.name().to_owned();
    }
    let user = user.ok_or_else(|| {
        Error::not_found(format!("user {:?} does not exist; create it with: tctl users add", request.username))
    })?;
    let base = Identity {
        username: user.metadata.name.clone(),
        impersonator,
        user_type: if user.bot_name().is_some() { UserType::Bot } else { UserType::Local },
        bot_name: user.bot_name().unwrap_or_default().to_owned(),
        teleport_cluster: auth.cluster().to_owned(),
        private_key_policy: "none".into(),
        ..Identity::default()
    };
    let limit = if is_admin { None } else { caller.identity().expires };
    finish(auth, caller, request, base, user.spec.roles.clone(), user.spec.traits.clone(), limit).await
}

/// What a certificate derived from the caller's own keeps of it.
fn basis(own: &Identity) -> Identity {
    Identity {
        username: own.username.clone(),
        teleport_cluster: own.teleport_cluster.clone(),
        private_key_policy: own.private_key_policy.clone(),
        user_type: own.user_type,
        bot_name: own.bot_name.clone(),
        bot_instance_id: own.bot_instance_id.clone(),
        join_attributes: own.join_attributes.clone(),
        join_token_hash: own.join_token_hash.clone(),
        pinned_ip: own.pinned_ip.clone(),
        login_ip: own.login_ip.clone(),
        mfa_verified: own.mfa_verified.clone(),
        active_requests: own.active_requests.clone(),
        device_id: own.device_id.clone(),
        device_asset_tag: own.device_asset_tag.clone(),
        device_credential_id: own.device_credential_id.clone(),
        ..Identity::default()
    }
}

/// Fills in what the roles give, bounds the time, records, signs.
async fn finish(
    auth: &Auth,
    caller: &Caller,
    request: &UserCertificates,
    base: Identity,
    roles: Vec<String>,
    traits: Traits,
    limit: Option<Timestamp>,
) -> Result<Issued, Error> {
    let now = auth.clock.now();
    let Decided { mut identity, access, not_after } =
        decide(auth, caller, request.expires, base, roles, traits, limit)?;
    if !request.route_to_cluster.is_empty() {
        identity.route_to_cluster.clone_from(&request.route_to_cluster);
    }
    let session = match (&request.route_to_app, &request.tls_key) {
        (None, _) => None,
        (Some(_), None) => {
            return Err(Error::invalid("TLSPublicKey: a certificate for an application is an X.509 one"));
        }
        (Some(route), Some(key)) => {
            let holder = app_sessions::create::holder_of(key);
            let times = (now, not_after);
            let prepared = app_sessions::create::prepare(auth, caller, &access, &mut identity, route, holder, times);
            Some(Box::pin(prepared).await?)
        }
    };
    let pair = auth.prepare(identity, request.tls_key.as_ref(), request.ssh_key.as_ref(), now, not_after)?;
    auth.refuse_locked(&pair.identity)?;
    let event = certificate_event(&pair, caller);
    let committed = settle(|| async {
        let mut change = auth.store.change().require_exists::<User>(&pair.identity.username).event(&event);
        if let Some(session) = &session {
            change = session.add(auth, change).await?;
        }
        note_arrival(auth, caller, change).await?.commit().await
    });
    committed.await?;
    auth.sign(pair).await
}

/// What a certificate shall say, until when, and what its holder may do.
pub(crate) struct Decided {
    pub(crate) identity: Identity,
    pub(crate) access: Arc<AccessChecker>,
    pub(crate) not_after: Timestamp,
}

/// The caller's own identity as it would be issued again now.
pub(crate) fn own_identity(auth: &Auth, caller: &Caller) -> Result<Decided, Error> {
    let own = caller.identity();
    let base = Identity { impersonator: own.impersonator.clone(), ..basis(own) };
    decide(auth, caller, None, base, own.roles.clone(), own.traits.clone(), own.expires)
}

fn decide(
    auth: &Auth,
    caller: &Caller,
    expires: Option<Timestamp>,
    base: Identity,
    roles: Vec<String>,
    traits: Traits,
    limit: Option<Timestamp>,
) -> Result<Decided, Error> {
    let now = auth.clock.now();
    let access = auth.access(&base.username, &roles, &traits)?;
    let options = access.options();
    let pinned_ip = pinned(caller, &base, options)?;
    let is_admin = caller.system_role() == Some(domain::role::SystemRole::Admin);
    let preference = auth.cache.snapshot().auth_preference();
    let default =
        preference.map_or(domain::resources::auth_preference::DEFAULT_SESSION_TTL, |p| p.spec.default_session_ttl);
    let after = |span| now.saturating_add(span).unwrap_or(Timestamp::MAX);
    let mut not_after = match expires {
        Some(asked) if asked > now => asked,
        _ => after(default),
    };
    if !is_admin {
        not_after = not_after.min(after(options.max_session_ttl));
    }
    not_after = limit.map_or(not_after, |limit| not_after.min(limit));
    // Traits come from elsewhere. With a NUL OpenSSH cannot read the certificate; a line break forges lines where names are listed.
    let is_name = |name: &String| !name.chars().any(char::is_control);
    let list = |principal| access.principals(principal, None).into_iter().filter(is_name).collect::<Vec<String>>();
    let identity = Identity {
        principals: list(Principal::Logins),
        kubernetes_groups: list(Principal::KubernetesGroups),
        kubernetes_users: list(Principal::KubernetesUsers),
        database_names: list(Principal::DatabaseNames),
        database_users: list(Principal::DatabaseUsers),
        aws_role_arns: list(Principal::AwsRoleArns),
        azure_identities: list(Principal::AzureIdentities),
        gcp_service_accounts: list(Principal::GcpServiceAccounts),
        route_to_cluster: auth.cluster().to_owned(),
        ssh_permits: SshPermits {
            x11_forwarding: options.permit_x11_forwarding,
            agent_forwarding: options.forward_agent,
            port_forwarding: options.local_port_forwarding || options.remote_port_forwarding,
        },
        cert_extensions: options.cert_extensions.iter().map(|own| (own.name.clone(), own.value.clone())).collect(),
        previous_identity_expires: base.previous_identity_expires,
        roles,
        traits,
        expires: Some(not_after),
        pinned_ip,
        ..base
    };
    Ok(Decided { identity, access, not_after })
}

/// The address that the certificate is to be good from, when a role demands one.
///
/// # Errors
/// Unsupported for what a role demands and nobody checks yet: a certificate without it would be worth more than it says.
fn pinned(caller: &Caller, base: &Identity, options: &rbac::MergedOptions) -> Result<String, Error> {
    if options.require_session_mfa != domain::resources::role::RequireMfa::Off {
        return Err(Error::unsupported(
            "a role of this identity has require_session_mfa, which is not supported yet; take it out, or the role",
        ));
    }
    if options.device_trust_required || options.device_trust_required_of_people && base.user_type != UserType::Bot {
        return Err(Error::unsupported(
            "a role of this identity has device_trust_mode: required, which is not supported yet; take it out, or the role",
        ));
    }
    match (options.pin_source_ip && base.pinned_ip.is_empty()).then(|| caller.remote_ip()) {
        None => Ok(base.pinned_ip.clone()),
        Some(address) if address.parse::<std::net::IpAddr>().is_ok() && !caller.has_certain_address() => {
            Err(Error::denied(
                "a role of this identity has pin_source_ip, and the proxy knows your address by a header that anybody can write; \
             set proxy_service.proxy_protocol to on or off",
            ))
        }
        Some(address) if address.parse::<std::net::IpAddr>().is_ok() => Ok(address),
        Some(_) => Err(Error::invalid(
            "a role of this identity has pin_source_ip: ask from the machine that is to use the certificate, not on the auth \
             host",
        )),
    }
}

/// Whose something is, for the audit log.
pub(crate) fn metadata(identity: &Identity) -> UserMetadata {
    let user_kind = if identity.user_type == UserType::Bot { UserKind::Bot } else { UserKind::Human };
    UserMetadata {
        user: identity.username.clone(),
        impersonator: identity.impersonator.clone(),
        user_kind,
        bot_name: identity.bot_name.clone(),
        bot_instance_id: identity.bot_instance_id.clone(),
        user_cluster_name: identity.teleport_cluster.clone(),
        user_roles: identity.roles.clone(),
        ..UserMetadata::default()
    }
}
