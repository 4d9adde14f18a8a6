//! What a role says beyond labels, lists of principals and rules, expanded for one identity. Most roles say none of it.

use domain::resources::role::{ClaimMapping, RoleConditions};

use crate::{
    context::Subject,
    database::ObjectPermission,
    decision::Side,
    expand::{Matching, Values},
    kubernetes::Entry,
    request::Requests,
    review::Reviews,
    session::{JoinPolicy, RequirePolicy},
    spiffe::SpiffeEntry,
};

#[derive(Debug, Default)]
pub(crate) struct Details {
    pub(crate) kubernetes: Vec<Entry>,
    pub(crate) database: Vec<ObjectPermission>,
    pub(crate) spiffe: Vec<SpiffeEntry>,
    /// Permission sets and accounts.
    pub(crate) assignments: Vec<(Values, Values)>,
    pub(crate) request: Option<Box<Requests>>,
    pub(crate) review: Option<Box<Reviews>>,
    pub(crate) join: Vec<JoinPolicy>,
    pub(crate) require: Vec<RequirePolicy>,
}

impl Details {
    pub(crate) fn new(conditions: &RoleConditions, version: u8, side: Side, subject: &Subject) -> Self {
        let c = conditions;
        let pattern = |text: &String| Values::of([text], subject, Matching::Patterns);
        let assignment =
            |part: &domain::resources::role::AccountAssignment| (pattern(&part.permission_set), pattern(&part.account));
        Self {
            kubernetes: c.kubernetes_resources.iter().map(|entry| Entry::new(entry, version, subject)).collect(),
            database: c.db_permissions.iter().map(|entry| ObjectPermission::new(entry, side, subject)).collect(),
            spiffe: c.spiffe.iter().map(|entry| SpiffeEntry::new(entry, subject)).collect(),
            assignments: c.account_assignments.iter().map(assignment).collect(),
            request: c.request.as_ref().map(|part| Box::new(Requests::new(part, version, side, subject))),
            review: c.review_requests.as_ref().map(|part| Box::new(Reviews::new(part, side, subject))),
            join: c.join_sessions.iter().map(|policy| JoinPolicy::new(policy, subject)).collect(),
            require: c.require_session_join.iter().map(RequirePolicy::new).collect(),
        }
    }
}

/// Roles that are listed, and those that the identity's claims, which are its traits, give.
pub(crate) fn roles_with_claims(roles: &[String], claims: &[ClaimMapping], subject: &Subject) -> Values {
    let mut listed = Values::of(roles, subject, Matching::Patterns);
    for mapping in claims {
        let wanted = Values::of([&mapping.value], subject, Matching::Patterns);
        let mut held = subject.traits.get(&mapping.claim).into_iter().flatten();
        if held.any(|value| wanted.has(value).is_yes()) {
            listed.append(Values::of(&mapping.roles, subject, Matching::Patterns));
        } else if wanted.is_broken() {
            listed.append(wanted.without_values());
        }
    }
    listed
}
