//! Reviews of access requests.

use domain::resources::{role::AccessReviewConditions, user::Traits};
use predicate::{Environment, Expression, Value};

use crate::{
    checker::{AccessChecker, Findings},
    context::Subject,
    decision::{Decision, Place, Side},
    details::roles_with_claims,
    expand::{Matching, Outcome, Values},
    question::Question,
    role_set::Parsed,
};

/// A request, as its reviewers see it.
#[derive(Debug, Clone, Copy)]
pub struct RequestUnderReview<'a> {
    /// Who asks.
    pub requester: &'a str,
    /// The roles that are asked for.
    pub roles: &'a [String],
    /// Why, in the words of the one who asks.
    pub reason: &'a str,
    /// What the roles of the one who asks added.
    pub annotations: &'a Traits,
}

/// A review that was made.
#[derive(Debug, Clone, Copy)]
pub struct Review<'a> {
    /// Whether it approves; otherwise it denies.
    pub approves: bool,
    /// Who made it.
    pub reviewer: &'a str,
    /// The roles of the reviewer then.
    pub roles: &'a [String],
    /// The traits of the reviewer then.
    pub traits: &'a Traits,
    /// Why, in the words of the reviewer.
    pub reason: &'a str,
    /// What a program added.
    pub annotations: &'a Traits,
}

/// What the conditions of reviews look at.
pub(crate) struct ReviewEnvironment<'a> {
    roles: &'a [String],
    traits: &'a Traits,
    request: &'a RequestUnderReview<'a>,
    review: Option<&'a Review<'a>>,
}

impl<'a> ReviewEnvironment<'a> {
    pub(crate) const fn of(review: &'a Review<'a>, request: &'a RequestUnderReview<'a>) -> Self {
        Self { roles: review.roles, traits: review.traits, request, review: Some(review) }
    }
}

impl Environment for ReviewEnvironment<'_> {
    fn field(&self, name: &str) -> Value<'_> {
        match (name, self.review) {
            ("reviewer.roles", _) => Value::list(self.roles),
            ("reviewer.traits", _) => Value::Traits(self.traits),
            ("request.roles", _) => Value::list(self.request.roles),
            ("request.reason", _) => Value::text(self.request.reason),
            ("request.system_annotations", _) => Value::Traits(self.request.annotations),
            ("review.reason", Some(review)) => Value::text(review.reason),
            ("review.annotations", Some(review)) => Value::Traits(review.annotations),
            _ => Value::Absent,
        }
    }
}

/// `review_requests`, expanded.
#[derive(Debug)]
pub(crate) struct Reviews {
    roles: Values,
    condition: Option<Parsed<Expression>>,
    pub(crate) preview_as_roles: Values,
    pub(crate) submit_for_users: Values,
}

impl Reviews {
    pub(crate) fn new(part: &AccessReviewConditions, side: Side, subject: &Subject) -> Self {
        let parse = |text: &str| predicate::parse_review(text).map_err(|error| error.to_string());
        let preview = if side == Side::Allow { Matching::Exact } else { Matching::Patterns };
        Self {
            roles: roles_with_claims(&part.roles, &part.claims_to_roles, subject),
            condition: (!part.condition.trim().is_empty()).then(|| parse(&part.condition)),
            preview_as_roles: Values::of(&part.preview_as_roles, subject, preview),
            submit_for_users: Values::of(&part.submit_for_users, subject, Matching::Patterns),
        }
    }

    pub(crate) fn role(
        &self,
        side: Side,
        role: &str,
        request: &RequestUnderReview<'_>,
        checker: &AccessChecker,
    ) -> Findings {
        let outcome = self.roles.has(role).and(|| match &self.condition {
            None => Outcome::Yes,
            Some(Err(error)) => Outcome::Unknown(error.clone()),
            Some(Ok(condition)) => {
                let Subject { roles, traits, .. } = &checker.subject;
                condition.holds(&ReviewEnvironment { roles, traits, request, review: None }).into()
            }
        });
        vec![(Place::List(side, "review_requests.roles"), outcome)]
    }
}

impl AccessChecker {
    /// Whether a request may be reviewed: each of its roles must be allowed, and nobody reviews what he asked for.
    pub fn check_review(&self, request: &RequestUnderReview<'_>) -> Decision {
        if request.requester == self.username() || request.roles.is_empty() {
            return Decision {
                allowed: false,
                reason: self.none_allowed(&"a review of one's own request, or of none"),
            };
        }
        self.every(request.roles.iter().map(|role| Question::ReviewRole(role, *request)))
    }
}
