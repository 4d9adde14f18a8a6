//! Access requests: who may ask for what, on which terms, and what the reviews so far make of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::resources::role::{AccessRequestConditions, AccessReviewThreshold};
use predicate::Expression;

use crate::{
    checker::{AccessChecker, Findings},
    context::Subject,
    decision::{Place, Reason, Side},
    details::roles_with_claims,
    expand::{Held, Matching, Outcome, Values},
    options::RequestStrategy,
    question::Question,
    review::{RequestUnderReview, Review, ReviewEnvironment},
    role_set::Parsed,
};

/// The longest time that a request can be granted for. A grant that lasts is no request any more but a role.
pub const LONGEST_GRANT: Duration = Duration::from_secs(14 * 24 * 3600);

/// `request`, expanded.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) roles: Values,
    pub(crate) search_as_roles: Values,
    version: u8,
    /// Kinds and API groups.
    kubernetes: Vec<(Values, Values)>,
    annotations: BTreeMap<String, Values>,
    thresholds: Vec<Threshold>,
}

impl Requests {
    pub(crate) fn new(part: &AccessRequestConditions, version: u8, side: Side, subject: &Subject) -> Self {
        let annotations = part.annotations.iter();
        // What is searched as is listed too, so a pattern is for what is denied only.
        let search = if side == Side::Allow { Matching::Exact } else { Matching::Patterns };
        let kinds = part.kubernetes_resources.iter();
        Self {
            roles: roles_with_claims(&part.roles, &part.claims_to_roles, subject),
            search_as_roles: Values::of(&part.search_as_roles, subject, search),
            version,
            kubernetes: kinds
                .map(|entry| (Values::or_empty(&entry.kind, subject), Values::or_empty(&entry.api_group, subject)))
                .collect(),
            annotations: annotations
                .map(|(key, values)| (key.clone(), Values::of(values, subject, Matching::Exact).on(side)))
                .collect(),
            thresholds: part.thresholds.iter().map(Threshold::new).collect(),
        }
    }

    /// A role that lets search says with a list of kinds that only these may be asked for.
    pub(crate) fn kubernetes(&self, side: Side, kind: &str, group: &str) -> Findings {
        const PLACE: &str = "request.kubernetes_resources";
        if side == Side::Allow && self.kubernetes.is_empty() && !self.search_as_roles.is_empty() {
            return vec![(Place::List(side, "request.search_as_roles"), Outcome::Yes)];
        }
        let fits = |(kinds, groups): &(Values, Values)| {
            kinds.has(kind).and(|| if self.version >= 8 { groups.has(group) } else { Outcome::Yes })
        };
        let entries = self.kubernetes.iter().enumerate();
        entries.map(|(index, entry)| (Place::Entry(side, PLACE, index), fits(entry))).collect()
    }
}

/// How many reviews decide.
#[derive(Debug, Clone)]
pub struct Threshold {
    /// The name, for people.
    pub name: String,
    /// How many approvals grant; zero: none do.
    pub approve: u32,
    /// How many denials deny; zero: none do.
    pub deny: u32,
    /// Which reviews count: all, or those for which it holds. One that cannot be evaluated counts towards a denial only.
    filter: Option<Parsed<Expression>>,
}

impl Threshold {
    fn new(threshold: &AccessReviewThreshold) -> Self {
        let parse = |text: &str| predicate::parse_review(text).map_err(|error| error.to_string());
        Self {
            name: threshold.name.clone(),
            approve: threshold.approve,
            deny: threshold.deny,
            filter: (!threshold.filter.trim().is_empty()).then(|| parse(&threshold.filter)),
        }
    }

    /// One approval grants, one denial denies.
    const fn standard() -> Self {
        Self { name: String::new(), approve: 1, deny: 1, filter: None }
    }

    fn counts(&self, review: &Review<'_>, request: &RequestUnderReview<'_>) -> bool {
        match &self.filter {
            None => true,
            Some(Ok(filter)) => filter.holds(&ReviewEnvironment::of(review, request)).unwrap_or(!review.approves),
            Some(Err(_)) => !review.approves,
        }
    }

    /// What the reviews make of it.
    fn state(&self, reviews: &[&Review<'_>], request: &RequestUnderReview<'_>) -> RequestState {
        let count = |approves: bool| {
            let counting = reviews.iter().filter(|review| review.approves == approves && self.counts(review, request));
            u32::try_from(counting.count()).unwrap_or(u32::MAX)
        };
        match (count(true), count(false)) {
            (_, denials) if self.deny > 0 && denials >= self.deny => RequestState::Denied,
            (approvals, _) if self.approve > 0 && approvals >= self.approve => RequestState::Approved,
            _ => RequestState::Pending,
        }
    }
}

/// What has become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestState {
    /// Reviews are awaited.
    Pending,
    /// It is granted.
    Approved,
    /// It is refused.
    Denied,
}

/// The terms on which something may be asked for. They are fixed when the request is made: a role that changes
/// afterwards does not lower the bar.
#[derive(Debug, Clone)]
pub struct RequestTerms {
    /// For each role that is asked for, the thresholds of each role that lets it be asked for: one of each must be met.
    pub thresholds: BTreeMap<String, Vec<Vec<Threshold>>>,
    /// Who might review it.
    pub suggested_reviewers: BTreeSet<String>,
    /// What is added for programs that help to review.
    pub annotations: BTreeMap<String, BTreeSet<String>>,
    /// The longest time of a grant.
    pub max_duration: Duration,
    /// Whether a reason must be given.
    pub reason_required: bool,
    /// What the one who asks is told about reasons.
    pub prompts: BTreeSet<String>,
}

impl AccessChecker {
    /// The terms on which these roles may be asked for; `search` when resources are asked for, as which roles.
    ///
    /// # Errors
    /// Why one of them may not be asked for.
    pub fn request_terms(&self, roles: &[&str], search: bool) -> Result<RequestTerms, Reason> {
        if roles.is_empty() {
            return Err(self.none_allowed(&"a request for no role"));
        }
        let mut terms = RequestTerms {
            thresholds: BTreeMap::new(),
            suggested_reviewers: BTreeSet::new(),
            annotations: BTreeMap::new(),
            max_duration: LONGEST_GRANT,
            reason_required: self.options().request_strategy == RequestStrategy::Reason,
            prompts: BTreeSet::new(),
        };
        for role in roles {
            let question = if search { Question::SearchAsRole(role) } else { Question::RequestRole(role) };
            self.check(&question).into_result()?;
            for held in &self.held {
                let Some(requests) = held.side(Side::Allow).details.request.as_deref() else { continue };
                let list = if search { &requests.search_as_roles } else { &requests.roles };
                if list.has(role).is_yes() {
                    terms.add(role, held, requests);
                }
            }
        }
        for denied in self.held.iter().filter_map(|held| held.side(Side::Deny).details.request.as_deref()) {
            for (key, values) in &denied.annotations {
                if let Some(found) = terms.annotations.get_mut(key) {
                    found.retain(|value| values.has(value) == Outcome::No);
                }
            }
        }
        terms.annotations.retain(|_, values| !values.is_empty());
        Ok(terms)
    }

    /// The roles as which resources may be looked for.
    #[must_use]
    pub fn search_as_roles(&self) -> BTreeSet<&str> {
        let parts = self.held.iter().filter_map(|held| held.side(Side::Allow).details.request.as_deref());
        let names = parts.flat_map(|part| part.search_as_roles.values.iter().map(|(name, _)| name.as_str()));
        names.filter(|name| self.check(&Question::SearchAsRole(name)).allowed).collect()
    }
}

impl RequestTerms {
    fn add(&mut self, role: &str, held: &Held, requests: &Requests) {
        let Some(part) = &held.role.role().spec.allow.request else { return };
        let thresholds = match requests.thresholds.as_slice() {
            [] => vec![Threshold::standard()],
            thresholds => thresholds.to_vec(),
        };
        self.thresholds.entry(role.to_owned()).or_default().push(thresholds);
        self.suggested_reviewers.extend(part.suggested_reviewers.iter().cloned());
        for (key, values) in &requests.annotations {
            let values = values.values.iter().map(|(value, _)| value.clone());
            self.annotations.entry(key.clone()).or_default().extend(values);
        }
        if !part.max_duration.is_zero() {
            self.max_duration = self.max_duration.min(part.max_duration);
        }
        if let Some(reason) = &part.reason {
            self.reason_required |= reason.mode == "required";
            self.prompts.extend((!reason.prompt.is_empty()).then(|| reason.prompt.clone()));
        }
    }

    /// What the reviews make of the request, in their order: the first that decides does. One reviewer counts once.
    #[must_use]
    pub fn state(&self, reviews: &[Review<'_>], request: &RequestUnderReview<'_>) -> RequestState {
        let mut counted: Vec<&Review<'_>> = Vec::new();
        for review in reviews {
            let is_known = counted.iter().any(|known| known.reviewer == review.reviewer);
            if is_known || review.reviewer == request.requester {
                continue;
            }
            counted.push(review);
            let state = self.state_of(&counted, request);
            if state != RequestState::Pending {
                return state;
            }
        }
        RequestState::Pending
    }

    fn state_of(&self, reviews: &[&Review<'_>], request: &RequestUnderReview<'_>) -> RequestState {
        let mut sets = self.thresholds.values().flatten().peekable();
        let mut approved = sets.peek().is_some();
        for set in sets {
            let states: Vec<RequestState> = set.iter().map(|threshold| threshold.state(reviews, request)).collect();
            if states.contains(&RequestState::Denied) {
                return RequestState::Denied;
            }
            approved &= states.contains(&RequestState::Approved);
        }
        if approved { RequestState::Approved } else { RequestState::Pending }
    }
}
