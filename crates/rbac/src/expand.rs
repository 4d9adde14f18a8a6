//! A role as one identity holds it: templates expanded with the identity's traits, patterns compiled.

use std::{collections::BTreeMap, sync::Arc};

use predicate::{EvaluateError, Pattern, Template};

use crate::{
    context::{LabelsEnvironment, Subject},
    decision::Side,
    family::Family,
    principal::Principal,
    role_set::{CompiledRole, Conditions, Impersonate, Parsed, Selector},
};

/// Whether something in a role holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Yes,
    No,
    /// It cannot be told: it grants nothing and denies everything.
    Unknown(String),
}

impl Outcome {
    pub(crate) const fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }

    /// Whether it counts on its side of a role, and if it does not plainly hold, why it counts.
    pub(crate) fn counts(self, side: Side) -> Option<Option<String>> {
        match (self, side) {
            (Self::Yes, _) => Some(None),
            (Self::Unknown(because), Side::Deny) => Some(Some(because)),
            (Self::Unknown(_), Side::Allow) | (Self::No, _) => None,
        }
    }
}

impl<E: std::fmt::Display> From<Result<bool, E>> for Outcome {
    fn from(result: Result<bool, E>) -> Self {
        result.map_or_else(|error| Self::Unknown(format!("condition: {error}")), Self::of)
    }
}

/// A role, expanded for one identity.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) role: Arc<CompiledRole>,
    allow: Expanded,
    deny: Expanded,
}

/// `allow` or `deny`, expanded. Rules have no templates and stay in the compiled role.
#[derive(Debug)]
pub(crate) struct Expanded {
    labels: BTreeMap<Family, LabelMap>,
    principals: BTreeMap<Principal, Values>,
    impersonate_users: Values,
    impersonate_roles: Values,
}

/// A list of values with their patterns.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub(crate) values: Vec<(String, Pattern)>,
    /// Why a value of the list could not be told.
    broken: Option<String>,
}

#[derive(Debug)]
struct LabelMap {
    wildcard: bool,
    labels: Vec<(String, Values)>,
}

impl Held {
    pub(crate) fn new(role: Arc<CompiledRole>, subject: &Subject) -> Self {
        let allow = Expanded::new(&role.allow, subject);
        let deny = Expanded::new(&role.deny, subject);
        Self { role, allow, deny }
    }

    pub(crate) const fn side(&self, side: Side) -> &Expanded {
        match side {
            Side::Allow => &self.allow,
            Side::Deny => &self.deny,
        }
    }

    /// Whether the selector of a family holds for these labels: `allow` needs selector and expression when both are
    /// given, `deny` needs either.
    pub(crate) fn labels(
        &self,
        side: Side,
        family: Family,
        labels: &BTreeMap<String, String>,
        subject: &Subject,
    ) -> Outcome {
        let (Some(map), Some(selector)) =
            (self.side(side).labels.get(&family), self.role.side(side).labels.get(&family))
        else {
            return Outcome::No;
        };
        let by_map = (!selector.labels.is_empty()).then(|| map.holds(labels));
        let by_expression = selector.expression.as_ref().map(|expression| match expression {
            Ok(expression) => expression.holds(&LabelsEnvironment { subject, labels }).into(),
            Err(error) => Outcome::Unknown(error.clone()),
        });
        match (side, by_map, by_expression) {
            (_, None, None) => Outcome::No,
            (_, Some(one), None) | (_, None, Some(one)) => one,
            (Side::Allow, Some(Outcome::Yes), Some(expression)) => expression,
            (Side::Allow, Some(map), Some(_)) => map,
            (Side::Deny, Some(Outcome::No), Some(expression)) => expression,
            (Side::Deny, Some(map), Some(_)) => map,
        }
    }
}

impl Expanded {
    fn new(conditions: &Conditions, subject: &Subject) -> Self {
        let labels = conditions.labels.iter().map(|(family, selector)| (*family, LabelMap::new(selector, subject)));
        let principals = conditions
            .principals
            .iter()
            .map(|(principal, templates)| (*principal, Values::new(templates, subject, principal.has_patterns())));
        let impersonate = |list: fn(&Impersonate) -> &Vec<Parsed<Template>>| {
            conditions.impersonate.as_ref().map(|part| Values::new(list(part), subject, true)).unwrap_or_default()
        };
        Self {
            labels: labels.collect(),
            principals: principals.collect(),
            impersonate_users: impersonate(|part| &part.users),
            impersonate_roles: impersonate(|part| &part.roles),
        }
    }

    pub(crate) fn principals(&self, principal: Principal) -> Option<&Values> {
        self.principals.get(&principal)
    }

    pub(crate) const fn impersonate_users(&self) -> &Values {
        &self.impersonate_users
    }

    pub(crate) const fn impersonate_roles(&self) -> &Values {
        &self.impersonate_roles
    }
}

impl Values {
    fn new(templates: &[Parsed<Template>], subject: &Subject, patterns: bool) -> Self {
        let mut made = Self::default();
        for template in templates {
            made.add(template, subject, patterns);
        }
        made
    }

    fn add(&mut self, template: &Parsed<Template>, subject: &Subject, patterns: bool) {
        let template = match template {
            Ok(template) => template,
            Err(error) => return self.break_with(error.clone()),
        };
        let values = match template.expand(subject) {
            Ok(values) => values,
            // A trait that is no address has no local part, as a trait that is not there has no value.
            Err(EvaluateError::Email(_)) => return,
            Err(error) => return self.break_with(error.to_string()),
        };
        for value in values {
            if !patterns {
                self.values.push((value.clone(), Pattern::Literal(value)));
                continue;
            }
            match Pattern::new(&value) {
                Ok(pattern) => self.values.push((value, pattern)),
                // What a trait brought is no pattern of the role's author.
                Err(_) if template.as_literal().is_none() => {
                    self.values.push((value.clone(), Pattern::Literal(value)));
                }
                Err(error) => self.break_with(error.to_string()),
            }
        }
    }

    fn break_with(&mut self, reason: String) {
        self.broken.get_or_insert(reason);
    }

    /// Whether the list has a value that fits.
    pub(crate) fn has(&self, value: &str) -> Outcome {
        match &self.broken {
            _ if self.values.iter().any(|(_, pattern)| pattern.matches(value)) => Outcome::Yes,
            Some(reason) => Outcome::Unknown(reason.clone()),
            None => Outcome::No,
        }
    }

    pub(crate) const fn is_broken(&self) -> bool {
        self.broken.is_some()
    }
}

impl LabelMap {
    fn new(selector: &Selector, subject: &Subject) -> Self {
        let is_star = |templates: &Vec<Parsed<Template>>| {
            templates.iter().flatten().any(|template| template.as_literal() == Some("*"))
        };
        let labels = selector.labels.iter();
        Self {
            wildcard: selector.labels.get("*").is_some_and(is_star),
            labels: labels.map(|(key, values)| (key.clone(), Values::new(values, subject, true))).collect(),
        }
    }

    /// AND over keys, OR over the values of a key; a label that the resource does not have fits nothing, not even `*`.
    fn holds(&self, labels: &BTreeMap<String, String>) -> Outcome {
        let mut unknown = None;
        for (key, values) in &self.labels {
            if self.wildcard && key == "*" {
                continue;
            }
            match labels.get(key).map_or(Outcome::No, |value| values.has(value)) {
                Outcome::Yes => {}
                Outcome::No => return Outcome::No,
                Outcome::Unknown(reason) => unknown = Some(reason),
            }
        }
        unknown.map_or(Outcome::Yes, Outcome::Unknown)
    }
}
