//! The access checker of one identity.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    sync::Arc,
};

use domain::{Kind, resources::user::Traits};

use crate::{
    context::{RuleContext, Subject, WhereEnvironment},
    decision::{Decision, Place, Reason, Side, Source},
    expand::{Held, Outcome},
    explain::{Contribution, Effect, Explanation},
    family::Family,
    options::MergedOptions,
    principal::Principal,
    question::Question,
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
        self.check(&Question::Rule(kind, verb, context))
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

    /// Whether there could be labels with which a resource of this family may be reached. For walks whose items are checked
    /// one by one; it permits nothing by itself.
    #[must_use]
    pub fn may_reach(&self, family: Family) -> bool {
        self.held.iter().any(|held| held.role.allow.labels.contains_key(&family))
    }

    /// Whether this is the same identity with the same roles, and so every answer the same.
    #[must_use]
    pub fn decides_like(&self, other: &Self) -> bool {
        let roles = |checker: &Self| checker.set.roles().len();
        self.subject.username == other.subject.username
            && self.subject.traits == other.subject.traits
            && roles(self) == roles(other)
            && self.set.roles().iter().zip(other.set.roles()).all(|(a, b)| a.role() == b.role())
    }

    /// Whether a resource of this family with these labels may be reached.
    pub fn check_labels(&self, family: Family, labels: &BTreeMap<String, String>) -> Decision {
        self.check(&Question::Labels(family, labels))
    }

    /// Whether a resource of this family with these labels may be reached as this principal: one role must allow both.
    pub fn check_principal(
        &self,
        family: Family,
        labels: &BTreeMap<String, String>,
        principal: Principal,
        value: &str,
    ) -> Decision {
        self.check(&Question::Principal(family, labels, principal, value))
    }

    /// Every principal of a list: the union of what the roles allow without what any role denies. With a family and
    /// labels only those roles allow whose labels match; a denial counts always.
    #[must_use]
    pub fn principals(
        &self,
        principal: Principal,
        at: Option<(Family, &BTreeMap<String, String>)>,
    ) -> BTreeSet<String> {
        match at {
            Some((family, labels)) => self.granted(principal, self.reaching(family, labels)),
            None => self.granted(principal, self.held.iter()),
        }
    }

    /// The roles that reach a resource.
    pub(crate) fn reaching(&self, family: Family, labels: &BTreeMap<String, String>) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(move |held| held.labels(Side::Allow, family, labels, &self.subject).is_yes())
    }

    /// What these roles list, without what any role denies.
    pub(crate) fn granted<'a>(&self, principal: Principal, from: impl Iterator<Item = &'a Held>) -> BTreeSet<String> {
        let listed: BTreeSet<&str> = from.flat_map(|held| held.listed(principal)).collect();
        listed.into_iter().filter(|value| !self.is_denied(principal, value)).map(ToOwned::to_owned).collect()
    }

    /// Whether any role denies this entry of a list, or cannot tell.
    pub(crate) fn is_denied(&self, principal: Principal, value: &str) -> bool {
        let lists = self.held.iter().filter_map(|held| held.side(Side::Deny).principals(principal));
        lists.into_iter().any(|denied| denied.has(value) != Outcome::No)
    }

    /// What each role contributes to [`Self::check_rule`].
    #[must_use]
    pub fn explain_rule(&self, context: &RuleContext<'_>, kind: Kind, verb: Verb) -> Explanation {
        self.explain(&Question::Rule(kind, verb, context))
    }

    pub(crate) fn rules(&self, held: &Held, side: Side, context: &RuleContext<'_>, kind: Kind, verb: Verb) -> Findings {
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

    pub(crate) fn labels(
        &self,
        held: &Held,
        side: Side,
        family: Family,
        labels: &BTreeMap<String, String>,
    ) -> Findings {
        if !held.role.side(side).labels.contains_key(&family) {
            return Vec::new();
        }
        vec![(Place::Labels(side, family), held.labels(side, family, labels, &self.subject))]
    }

    /// Asks every role for denials, and only then for one that allows.
    pub(crate) fn decide(&self, asked: &dyn Display, findings: impl Fn(&Held, Side) -> Findings) -> Decision {
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
        Decision { allowed: false, reason: self.none_allowed(asked) }
    }

    pub(crate) fn none_allowed(&self, asked: &dyn Display) -> Reason {
        let asked = asked.to_string();
        Reason::NoneAllowed { asked, roles: self.held.iter().map(|held| Arc::clone(&held.role.name)).collect() }
    }

    pub(crate) fn explanation(&self, decision: Decision, findings: impl Fn(&Held, Side) -> Findings) -> Explanation {
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
