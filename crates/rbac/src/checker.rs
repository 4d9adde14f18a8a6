//! The access checker of one identity.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{Kind, resources::user::Traits};

use crate::{
    context::{RuleContext, Subject, WhereEnvironment},
    decision::{Asked, Decision, Place, Reason, Side, Source},
    expand::{Held, Outcome},
    explain::{Contribution, Effect, Explanation},
    family::Family,
    options::MergedOptions,
    principal::Principal,
    role_set::{CompiledRule, RoleSet},
    verb::Verb,
};

/// Decides what one identity may do. Built once for an identity, then shared; asking copies no roles.
#[derive(Debug)]
pub struct AccessChecker {
    pub(crate) subject: Subject,
    pub(crate) held: Vec<Held>,
    pub(crate) options: MergedOptions,
    set: Arc<RoleSet>,
}

/// The places of a role that have to do with a question, and whether they hold.
pub(crate) type Findings = Vec<(Place, Outcome)>;

impl AccessChecker {
    /// The checker of an identity: expands the templates of its roles with its traits.
    pub fn new(username: impl Into<String>, traits: &Traits, set: Arc<RoleSet>) -> Self {
        let subject = Subject {
            username: username.into(),
            roles: set.names().map(str::to_owned).collect(),
            traits: traits.clone(),
        };
        let held = set.roles().iter().map(|role| Held::new(Arc::clone(role), &subject)).collect();
        let options: Vec<_> = set.roles().iter().map(|role| &role.role().spec.options).collect();
        let options = MergedOptions::of(&options);
        Self { subject, held, options, set }
    }

    /// The checker of somebody who holds no role: nothing is allowed.
    #[must_use]
    pub fn nobody() -> Self {
        Self::new("", &Traits::new(), Arc::new(RoleSet::default()))
    }

    /// The name of the identity.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.subject.username
    }

    /// The traits of the identity.
    #[must_use]
    pub const fn traits(&self) -> &Traits {
        &self.subject.traits
    }

    /// The roles of the identity.
    #[must_use]
    pub const fn roles(&self) -> &Arc<RoleSet> {
        &self.set
    }

    /// Whether the identity holds a role of this name.
    #[must_use]
    pub fn has_role(&self, name: &str) -> bool {
        self.subject.roles.iter().any(|role| role == name)
    }

    /// Whether this verb may be used on this kind, and on the resource in the context.
    pub fn check_rule(&self, context: &RuleContext<'_>, kind: Kind, verb: Verb) -> Decision {
        self.decide(|| Asked::Rule(kind, verb), |held, side| self.rules(held, side, context, kind, verb))
    }

    /// Whether there could be a resource of this kind on which this verb may be used: conditions count as met in `allow`
    /// and as not met in `deny`. For lists whose items are checked one by one afterwards; it permits nothing by itself.
    #[must_use]
    pub fn may_be_allowed(&self, kind: Kind, verb: Verb) -> bool {
        let mut allowed = false;
        for held in &self.held {
            let deny = &held.role.deny.rules;
            if deny.iter().any(|rule| rule.condition.is_none() && rule.concerns(Side::Deny, kind, verb)) {
                return false;
            }
            allowed |= held.role.allow.rules.iter().any(|rule| rule.concerns(Side::Allow, kind, verb));
        }
        allowed
    }

    /// Whether a resource of this family with these labels may be reached.
    pub fn check_labels(&self, family: Family, labels: &BTreeMap<String, String>) -> Decision {
        self.decide(|| Asked::Labels(family), |held, side| self.labels(held, side, family, labels))
    }

    /// Whether a resource of this family with these labels may be reached as this principal: one role must allow both.
    pub fn check_principal(
        &self,
        family: Family,
        labels: &BTreeMap<String, String>,
        principal: Principal,
        value: &str,
    ) -> Decision {
        self.decide(
            || Asked::Principal(family, principal, value.to_owned()),
            |held, side| {
                let reach = self.labels(held, side, family, labels);
                let listed = held.side(side).principals(principal).map(|values| values.has(value));
                let listed = listed.map(|outcome| (Place::Principal(side, principal), outcome));
                match side {
                    Side::Deny => reach.into_iter().chain(listed).collect(),
                    Side::Allow if reach.iter().all(|(_, outcome)| *outcome == Outcome::Yes) && !reach.is_empty() => {
                        listed.into_iter().collect()
                    }
                    Side::Allow => reach.into_iter().filter(|(_, outcome)| *outcome != Outcome::Yes).collect(),
                }
            },
        )
    }

    /// Every principal of a list: the union of what the roles allow without what any role denies. With a family and
    /// labels only those roles allow whose labels match; a denial counts always.
    #[must_use]
    pub fn principals(
        &self,
        principal: Principal,
        at: Option<(Family, &BTreeMap<String, String>)>,
    ) -> BTreeSet<String> {
        let mut allowed = BTreeSet::new();
        for held in &self.held {
            let reached = at
                .is_none_or(|(family, labels)| held.labels(Side::Allow, family, labels, &self.subject) == Outcome::Yes);
            if let Some(values) = held.side(Side::Allow).principals(principal).filter(|_| reached) {
                allowed.extend(values.values.iter().map(|(value, _)| value.clone()));
            }
        }
        for denied in self.held.iter().filter_map(|held| held.side(Side::Deny).principals(principal)) {
            if denied.is_broken() {
                return BTreeSet::new();
            }
            allowed.retain(|value| denied.has(value) == Outcome::No);
        }
        allowed
    }

    /// What each role contributes to [`Self::check_rule`].
    #[must_use]
    pub fn explain_rule(&self, context: &RuleContext<'_>, kind: Kind, verb: Verb) -> Explanation {
        let decision = self.check_rule(context, kind, verb);
        self.explain(decision, |held, side| self.rules(held, side, context, kind, verb))
    }

    /// What each role contributes to [`Self::check_labels`].
    #[must_use]
    pub fn explain_labels(&self, family: Family, labels: &BTreeMap<String, String>) -> Explanation {
        let decision = self.check_labels(family, labels);
        self.explain(decision, |held, side| self.labels(held, side, family, labels))
    }

    fn rules(&self, held: &Held, side: Side, context: &RuleContext<'_>, kind: Kind, verb: Verb) -> Findings {
        let rules = held.role.side(side).rules.iter().enumerate();
        rules
            .filter(|(_, rule)| rule.concerns(side, kind, verb))
            .map(|(index, rule)| (Place::Rule(side, index), self.condition(rule, context)))
            .collect()
    }

    fn condition(&self, rule: &CompiledRule, context: &RuleContext<'_>) -> Outcome {
        match &rule.condition {
            None => Outcome::Yes,
            Some(Err(error)) => Outcome::Unknown(error.clone()),
            Some(Ok(expression)) => expression.holds(&WhereEnvironment { subject: &self.subject, context }).into(),
        }
    }

    fn labels(&self, held: &Held, side: Side, family: Family, labels: &BTreeMap<String, String>) -> Findings {
        if !held.role.side(side).labels.contains_key(&family) {
            return Vec::new();
        }
        vec![(Place::Labels(side, family), held.labels(side, family, labels, &self.subject))]
    }

    /// Asks every role for denials, and only then for one that allows.
    pub(crate) fn decide(&self, asked: impl FnOnce() -> Asked, findings: impl Fn(&Held, Side) -> Findings) -> Decision {
        for side in [Side::Deny, Side::Allow] {
            for held in &self.held {
                let first = findings(held, side).into_iter().find_map(|(place, outcome)| {
                    outcome.counts(side).map(|because| Source { role: Arc::clone(&held.role.name), place, because })
                });
                match (first, side) {
                    (Some(source), Side::Deny) => return Decision::deny(source),
                    (Some(source), Side::Allow) => return Decision::allow(source),
                    (None, _) => {}
                }
            }
        }
        Decision { allowed: false, reason: self.none_allowed(asked()) }
    }

    pub(crate) fn none_allowed(&self, asked: Asked) -> Reason {
        Reason::NoneAllowed { asked, roles: self.held.iter().map(|held| Arc::clone(&held.role.name)).collect() }
    }

    pub(crate) fn explain(&self, decision: Decision, findings: impl Fn(&Held, Side) -> Findings) -> Explanation {
        let mut contributions = Vec::new();
        for held in &self.held {
            let before = contributions.len();
            for side in [Side::Deny, Side::Allow] {
                contributions.extend(findings(held, side).into_iter().map(|(place, outcome)| Contribution {
                    role: Arc::clone(&held.role.name),
                    place: Some(place),
                    effect: Effect::of(side, outcome),
                }));
            }
            if contributions.len() == before {
                contributions.push(Contribution {
                    role: Arc::clone(&held.role.name),
                    place: None,
                    effect: Effect::Nothing,
                });
            }
        }
        Explanation { decision, contributions }
    }
}
