//! What can be asked about an identity. Each question is answered by [`AccessChecker::check`] and taken apart role by
//! role by [`AccessChecker::explain`].

use std::{collections::BTreeMap, fmt};

use domain::Kind;

use crate::{
    checker::{AccessChecker, Findings},
    context::{Named, RuleContext},
    database::DatabaseObject,
    decision::{Decision, Place, Side},
    expand::{Held, Outcome, Values},
    explain::Explanation,
    family::Family,
    kubernetes::KubernetesObject,
    principal::Principal,
    review::RequestUnderReview,
    session::SessionToJoin,
    spiffe::SvidRequest,
    verb::Verb,
};

/// The labels of a resource.
pub type Tags = BTreeMap<String, String>;

/// A question about an identity.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    /// Whether this verb may be used on this kind, and on the resource in the context.
    Rule(Kind, Verb, &'a RuleContext<'a>),
    /// Whether a resource of this family with these labels may be reached.
    Labels(Family, &'a Tags),
    /// Whether it may be reached as this principal: one role must allow both.
    Principal(Family, &'a Tags, Principal, &'a str),
    /// Whether this entry of a list is allowed whatever the resource, such as an organization of GitHub.
    Listed(Principal, &'a str),
    /// Whether this role may be held in a certificate of one's own name.
    ImpersonateRole(Named<'a>),
    /// Whether this may be done with an object of a Kubernetes cluster with these labels.
    Kubernetes(&'a Tags, KubernetesObject<'a>),
    /// Whether this permission on an object of a database with these labels is given.
    DatabaseObject(&'a Tags, DatabaseObject<'a>),
    /// Whether an SVID with these names may be made (legacy; workload identities are reached by label).
    Svid(SvidRequest<'a>),
    /// Whether a permission set of an AWS account may be taken: permission set, account.
    AccountAssignment(&'a str, &'a str),
    /// Whether this role may be asked for.
    RequestRole(&'a str),
    /// Whether resources may be looked for, and asked for, as if one had this role.
    SearchAsRole(&'a str),
    /// Whether objects of this kind of Kubernetes may be asked for: plural name (singular before role version v8), API group.
    RequestKubernetes(&'a str, &'a str),
    /// Whether a request for this role may be reviewed.
    ReviewRole(&'a str, RequestUnderReview<'a>),
    /// Whether the resources of a request may be looked at as if one had this role.
    PreviewAsRole(&'a str),
    /// Whether requests may be made in the name of this user.
    SubmitForUser(&'a str),
    /// Whether somebody else's session may be joined.
    JoinSession(SessionToJoin<'a>),
}

impl AccessChecker {
    /// Decides.
    pub fn check(&self, question: &Question<'_>) -> Decision {
        self.decide(question, |held, side| self.findings(question, held, side))
    }

    /// Decides, and says what each role contributes.
    #[must_use]
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        self.explanation(self.check(question), |held, side| self.findings(question, held, side))
    }

    /// The places of a role that have to do with a question.
    fn findings(&self, question: &Question<'_>, held: &Held, side: Side) -> Findings {
        let expanded = held.side(side);
        let details = &expanded.details;
        match *question {
            Question::Rule(kind, verb, context) => self.rules(held, side, context, kind, verb),
            Question::Labels(family, labels) => self.labels(held, side, family, labels),
            Question::Principal(family, labels, principal, value) => {
                self.at(held, side, family, labels, || listed(held, side, principal, value))
            }
            Question::Listed(principal, value) => listed(held, side, principal, value),
            Question::ImpersonateRole(role) => self.impersonate_role(held, side, role),
            Question::Kubernetes(labels, object) => {
                self.at(held, side, Family::Kubernetes, labels, || object.findings(held, side))
            }
            Question::DatabaseObject(labels, object) => {
                self.at(held, side, Family::Database, labels, || object.findings(&details.database, side))
            }
            Question::Svid(request) => request.findings(&details.spiffe, side),
            Question::AccountAssignment(set, account) => {
                let entries = details.assignments.iter().enumerate();
                let fits = |(sets, accounts): &(Values, Values)| sets.has(set).and(|| accounts.has(account));
                entries.map(|(i, entry)| (Place::Entry(side, "account_assignments", i), fits(entry))).collect()
            }
            Question::RequestRole(role) => {
                named(details.request.as_ref().map(|r| &r.roles), side, "request.roles", role)
            }
            Question::SearchAsRole(role) => {
                named(details.request.as_ref().map(|r| &r.search_as_roles), side, "request.search_as_roles", role)
            }
            Question::RequestKubernetes(kind, group) => {
                details.request.as_ref().map(|request| request.kubernetes(side, kind, group)).unwrap_or_default()
            }
            Question::ReviewRole(role, request) => {
                details.review.as_ref().map(|review| review.role(side, role, &request, self)).unwrap_or_default()
            }
            Question::PreviewAsRole(role) => {
                let roles = details.review.as_ref().map(|review| &review.preview_as_roles);
                named(roles, side, "review_requests.preview_as_roles", role)
            }
            Question::SubmitForUser(user) => {
                let users = details.review.as_ref().map(|review| &review.submit_for_users);
                named(users, side, "review_requests.submit_for_users", user)
            }
            Question::JoinSession(session) => session.findings(&details.join, side),
        }
    }

    /// What a role says about something at a resource. In `allow` the role must reach the resource too; what is denied
    /// is denied everywhere.
    fn at(&self, held: &Held, side: Side, family: Family, labels: &Tags, inner: impl FnOnce() -> Findings) -> Findings {
        let reach = self.labels(held, side, family, labels);
        let reaches = !reach.is_empty() && reach.iter().all(|(_, outcome)| *outcome == Outcome::Yes);
        match side {
            Side::Deny => reach.into_iter().chain(inner()).collect(),
            Side::Allow if reaches => inner(),
            Side::Allow => reach.into_iter().filter(|(_, outcome)| *outcome != Outcome::Yes).collect(),
        }
    }
}

fn listed(held: &Held, side: Side, principal: Principal, value: &str) -> Findings {
    let values = held.side(side).principals(principal);
    values.map(|values| (Place::Principal(side, principal), values.has(value))).into_iter().collect()
}

/// Whether a list that a role may have has a value.
fn named(values: Option<&Values>, side: Side, path: &'static str, value: &str) -> Findings {
    let values = values.filter(|values| !values.is_empty());
    values.map(|values| (Place::List(side, path), values.has(value))).into_iter().collect()
}

impl fmt::Display for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(kind, verb, _) => write!(f, "{verb} of {kind}"),
            Self::Labels(family, _) => write!(f, "access to this {family}"),
            Self::Principal(family, _, principal, value) => write!(f, "{value:?} of {principal} at this {family}"),
            Self::Listed(principal, value) => write!(f, "{value:?} of {principal}"),
            Self::ImpersonateRole(role) => write!(f, "impersonation of role {:?}", role.name),
            Self::Kubernetes(_, object) => write!(f, "{object} in this kubernetes"),
            Self::DatabaseObject(_, object) => write!(f, "{:?} on this object of this db", object.permission),
            Self::Svid(request) => write!(f, "the SPIFFE id with path {:?}", request.path),
            Self::AccountAssignment(set, account) => write!(f, "permission set {set:?} of account {account:?}"),
            Self::RequestRole(role) => write!(f, "a request for role {role:?}"),
            Self::SearchAsRole(role) => write!(f, "a search as role {role:?}"),
            Self::RequestKubernetes(kind, _) => write!(f, "a request for {kind:?} of kubernetes"),
            Self::ReviewRole(role, _) => write!(f, "a review of a request for role {role:?}"),
            Self::PreviewAsRole(role) => write!(f, "a preview as role {role:?}"),
            Self::SubmitForUser(user) => write!(f, "a request in the name of user {user:?}"),
            Self::JoinSession(session) => {
                write!(f, "joining a session of kind {:?} in mode {:?}", session.kind, session.mode)
            }
        }
    }
}
