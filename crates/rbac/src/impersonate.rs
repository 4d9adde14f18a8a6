//! Impersonation: taking another user's name, or holding roles that one's own user does not have.

use std::sync::Arc;

use crate::{
    checker::{AccessChecker, Findings},
    context::{Named, RuleContext, WhereEnvironment},
    decision::{Decision, Place, Side, Source},
    expand::{Held, Outcome},
    question::Question,
};

impl AccessChecker {
    /// Whether these roles may be held in a certificate of one's own name (role impersonation, what bots do). Each role
    /// must be allowed by some role of the caller, and none may be denied by any.
    pub fn check_impersonate_roles(&self, roles: &[Named<'_>]) -> Decision {
        self.every(roles.iter().map(|role| Question::ImpersonateRole(*role)))
    }

    /// Whether all of this is allowed; nothing at all is not.
    pub(crate) fn every<'a>(&self, questions: impl Iterator<Item = Question<'a>>) -> Decision {
        let mut last = None;
        for question in questions {
            let decision = self.check(&question);
            if !decision.allowed {
                return decision;
            }
            last = Some(decision);
        }
        last.unwrap_or_else(|| Decision { allowed: false, reason: self.none_allowed(&"nothing") })
    }

    pub(crate) fn impersonate_role(&self, held: &Held, side: Side, role: Named<'_>) -> Findings {
        let context = RuleContext { impersonate_role: Some(role), ..RuleContext::NONE };
        self.role_findings(held, side, role, &context)
    }

    /// Whether a certificate in another user's name with these roles may be made. One role of the caller must allow the
    /// user and all of the roles together; none may deny the user or any of the roles.
    pub fn check_impersonate_user(&self, user: Named<'_>, roles: &[Named<'_>]) -> Decision {
        let about = |role: Option<&Named<'_>>, held: &Held, side: Side| {
            let context =
                RuleContext { impersonate_user: Some(user), impersonate_role: role.copied(), ..RuleContext::default() };
            let findings = match role {
                Some(role) => self.role_findings(held, side, *role, &context),
                None => self.user_findings(held, side, user, roles.first().copied()),
            };
            counting(held, side, findings)
        };
        let questions = || std::iter::once(None).chain(roles.iter().map(Some));
        for held in &self.held {
            if let Some(source) = questions().find_map(|question| about(question, held, Side::Deny)) {
                return Decision::deny(source);
            }
        }
        for held in &self.held {
            let answers: Option<Vec<Source>> = questions().map(|question| about(question, held, Side::Allow)).collect();
            if let Some(source) = answers.and_then(|sources| sources.into_iter().next()) {
                return Decision::allow(source);
            }
        }
        Decision { allowed: false, reason: self.none_allowed(&format_args!("impersonation of user {:?}", user.name)) }
    }

    fn role_findings(&self, held: &Held, side: Side, role: Named<'_>, context: &RuleContext<'_>) -> Findings {
        let listed = held.side(side).impersonate_roles().has(role.name);
        self.finding(held, side, Place::List(side, "impersonate.roles"), listed, context)
    }

    /// A condition beside `users` may look at a role too: it sees the first one here, and each when roles are checked.
    fn user_findings(&self, held: &Held, side: Side, user: Named<'_>, role: Option<Named<'_>>) -> Findings {
        let context = RuleContext { impersonate_user: Some(user), impersonate_role: role, ..RuleContext::default() };
        let listed = held.side(side).impersonate_users().has(user.name);
        self.finding(held, side, Place::List(side, "impersonate.users"), listed, &context)
    }

    /// What is listed, under the condition beside the list.
    fn finding(&self, held: &Held, side: Side, place: Place, listed: Outcome, context: &RuleContext<'_>) -> Findings {
        let Some(part) = held.role.side(side).impersonate.as_ref() else { return Vec::new() };
        let outcome = match (listed, &part.condition) {
            (Outcome::No, _) => Outcome::No,
            (listed, None) => listed,
            (Outcome::Unknown(why), _) => Outcome::Unknown(why),
            (Outcome::Yes, Some(Err(error))) => Outcome::Unknown(error.clone()),
            (Outcome::Yes, Some(Ok(expression))) => {
                expression.holds(&WhereEnvironment { subject: &self.subject, context }).into()
            }
        };
        vec![(place, outcome)]
    }
}

fn counting(held: &Held, side: Side, findings: Findings) -> Option<Source> {
    findings.into_iter().find_map(|(place, outcome)| {
        outcome.counts(side).map(|because| Source { role: Arc::clone(&held.role.name), place, because })
    })
}
