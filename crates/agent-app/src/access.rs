//! Whether a session may reach an application now: issuer, expiry, locks, roles. Asked on every request, and again
//! whenever the [view](crate::View) changes.

use std::{collections::BTreeMap, net::IpAddr};

use clock::{Clock, Timestamp};
use domain::{identity::Identity, resources::role::Role};
use rbac::{
    AccessChecker, Family, LockingMode, RoleSet,
    locks::{self, LockSubject, LockView, Locked, Passed, STALE_AFTER_AT_AGENTS},
};

use crate::{Session, view::State};

/// Why a session may not go on. The texts of [`Refusal::for_client`] say no more than the client may know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The certificate is not what is needed here.
    #[error("the client's certificate is refused: {0}")]
    Untrusted(String),
    /// The session is over: ended, expired, or its user is gone.
    #[error("the session is over")]
    Ended,
    /// The application is not served here.
    #[error("application {0:?} is not served by this agent")]
    NotServed(String),
    /// A lock hits. Who is hit may read why.
    #[error("{0}")]
    Locked(String),
    /// The roles do not allow it; why is for the log.
    #[error("the roles do not allow it: {0}")]
    Denied(String),
    /// What is needed to decide is not known now.
    #[error("cannot decide now: {0}")]
    Unavailable(String),
}

impl Refusal {
    /// What the client reads.
    pub(crate) fn for_client(&self) -> String {
        match self {
            Self::Denied(_) => "access to the application is denied".to_owned(),
            Self::Untrusted(_) => "the certificate is not accepted".to_owned(),
            other => other.to_string(),
        }
    }
}

/// Who asks and for what.
pub(crate) struct Asked<'a> {
    pub(crate) session: &'a Session,
    /// Those of the session's application.
    pub(crate) labels: &'a BTreeMap<String, String>,
    /// The keys of those whose values are not known yet.
    pub(crate) unknown: &'a [String],
    pub(crate) cluster: &'a str,
    pub(crate) host_id: &'a str,
    /// Where the client is, as the proxy says.
    pub(crate) source: Option<IpAddr>,
}

/// Decides. Who may is told the mode that counts for the session when something cannot be looked up freshly, and whether the
/// locks were.
///
/// # Errors
/// Why not.
pub(crate) fn decide(state: &State, asked: &Asked<'_>, clock: &Clock) -> Result<(LockingMode, Passed), Refusal> {
    let now = clock.now();
    let (certificate, identity) = (asked.session.certificate(), asked.session.identity());
    if now > certificate.not_after() {
        return Err(Refusal::Ended);
    }
    if now < certificate.not_before() {
        let from = certificate.not_before();
        return Err(Refusal::Unavailable(format!(
            "the session begins at {from}, which by this agent's clock is to come"
        )));
    }
    let Some(as_of) = state.as_of() else {
        return Err(Refusal::Unavailable("this agent does not know the cluster's roles and locks yet".into()));
    };
    // A rotation may have taken the authority away since the certificate was shown.
    if !state.user_authorities().iter().any(|issuer| certificate.verify_signed_by(issuer).is_ok()) {
        return Err(Refusal::Untrusted("its authority is not trusted any more".into()));
    }
    check_pins(identity, asked)?;
    let checker = checker(state, identity, now)?;
    // By the clock that nobody sets back: after a step of the other one what is stale would seem fresh.
    let age = clock.monotonic().saturating_sub(as_of);
    let as_of = now.saturating_sub(age).unwrap_or(Timestamp::MIN);
    let mode = checker.locking_mode(state.locking_mode());
    let host = format!("{}.{}", asked.host_id, asked.cluster);
    let holder = LockSubject { server_ids: vec![asked.host_id, &host], ..LockSubject::of(identity) };
    let mut passed = Passed::Fresh;
    for subject in [Some(holder), LockSubject::behind(identity)].iter().flatten() {
        let view = LockView { locks: state.locks(), as_of, stale_after: STALE_AFTER_AT_AGENTS };
        passed = locks::check(view, subject, mode, now).map_err(|locked| match locked {
            Locked::InForce { refusal, .. } => Refusal::Locked(refusal),
            stale @ Locked::Stale { .. } => Refusal::Unavailable(stale.to_string()),
        })?;
    }
    let labels = checker.check_labels(Family::App, asked.labels).into_result();
    labels.map_err(|reason| Refusal::Denied(reason.to_string()))?;
    check_unknown(&checker, asked)?;
    Ok((mode, passed))
}

/// Whether what is allowed would be whatever the labels are that are not known: a label that is missing is no label of
/// another value.
fn check_unknown(checker: &AccessChecker, asked: &Asked<'_>) -> Result<(), Refusal> {
    let roles = checker.roles().roles().iter().map(|role| role.role());
    let hangs_on = |key: &&String| roles.clone().any(|role| could_refuse(role, key));
    let Some(key) = asked.unknown.iter().find(hangs_on) else { return Ok(()) };
    let app = &asked.session.route().name;
    Err(Refusal::Unavailable(format!(
        "no command has printed label {key:?} of application {app:?} yet, and a role of yours depends on it; the agent's log \
         says why"
    )))
}

/// Whether a role may refuse by this label somebody whom it lets in without.
fn could_refuse(role: &Role, key: &str) -> bool {
    let (allow, deny) = (&role.spec.allow, &role.spec.deny);
    let looks = |expression: &String| {
        !expression.is_empty()
            && predicate::parse_labels_expression(expression)
                .map_or(true, |expression| expression.looks_at("labels", key))
    };
    deny.app_labels.0.contains_key(key) || [allow, deny].iter().any(|rules| looks(&rules.app_labels_expression))
}

/// What the certificate itself narrows: an address, and a list of resources.
fn check_pins(identity: &Identity, asked: &Asked<'_>) -> Result<(), Refusal> {
    if !identity.is_good_from(asked.source) {
        return Err(Refusal::Denied("the certificate is good from another address only".into()));
    }
    let this = format!("\"/{}/app/{}\"", asked.cluster, identity.route_to_app.name);
    if !identity.allowed_resource_ids.is_empty() && !identity.allowed_resource_ids.contains(&this) {
        return Err(Refusal::Denied("the certificate is good for other resources only".into()));
    }
    Ok(())
}

/// A role that is not known grants nothing and may have denied something: then nothing is allowed.
fn checker(state: &State, identity: &Identity, now: Timestamp) -> Result<AccessChecker, Refusal> {
    let missing = |name: &String| Refusal::Denied(format!("role {name:?} does not exist"));
    let roles = identity.roles.iter().map(|name| state.role(name, now).ok_or_else(|| missing(name)));
    let set: RoleSet = roles.collect::<Result<_, _>>()?;
    Ok(AccessChecker::new(&identity.username, &identity.traits, set.into()))
}
