//! A role as one identity holds it: templates expanded with the identity's traits, patterns compiled.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use domain::form::Labels;
use predicate::{EvaluateError, Pattern, Template};

use crate::{
    context::{LabelsEnvironment, Subject},
    decision::Side,
    details::Details,
    family::Family,
    principal::Principal,
    role_set::{CompiledRole, Conditions, Impersonate, Parsed, template},
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

impl Outcome {
    pub(crate) fn is_yes(&self) -> bool {
        *self == Self::Yes
    }

    /// Both hold: a plain no decides, then what is not known.
    pub(crate) fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            Self::Yes => other(),
            Self::Unknown(why) => {
                if other() == Self::No {
                    Self::No
                } else {
                    Self::Unknown(why)
                }
            }
        }
    }

    /// One of both holds.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Unknown(why), _) | (_, Self::Unknown(why)) => Self::Unknown(why),
            (Self::No, Self::No) => Self::No,
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
    pub(crate) details: Details,
}

/// A list of values with their patterns.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub(crate) values: Vec<(String, Pattern)>,
    matching: Matching,
    /// Why a value of the list could not be told.
    broken: Option<String>,
}

/// How the entries of a list are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Matching {
    /// As they are.
    #[default]
    Exact,
    /// As they are, in small letters: names that have no case where they are used.
    Folded,
    /// As globs, and as regular expressions when written `^…$`.
    Patterns,
}

#[derive(Debug)]
pub(crate) struct LabelMap {
    wildcard: bool,
    labels: Vec<(String, Values)>,
}

impl Held {
    pub(crate) fn new(role: Arc<CompiledRole>, subject: &Subject) -> Self {
        let expand = |side: Side| {
            let spec = &role.role.spec;
            let conditions = if side == Side::Allow { &spec.allow } else { &spec.deny };
            let details = Details::new(conditions, role.role.version_number(), side, subject);
            Expanded::new(role.side(side), side, details, subject)
        };
        let (allow, deny) = (expand(Side::Allow), expand(Side::Deny));
        Self { role, allow, deny }
    }

    pub(crate) const fn side(&self, side: Side) -> &Expanded {
        match side {
            Side::Allow => &self.allow,
            Side::Deny => &self.deny,
        }
    }

    /// The values of a list of principals that the role allows.
    pub(crate) fn listed(&self, principal: Principal) -> impl Iterator<Item = &str> {
        self.allow.principals(principal).into_iter().flat_map(|values| values.values.iter().map(|(value, _)| &**value))
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
    fn new(conditions: &Conditions, side: Side, details: Details, subject: &Subject) -> Self {
        let labels =
            conditions.labels.iter().map(|(family, selector)| (*family, LabelMap::new(&selector.labels, subject)));
        let principals = conditions
            .principals
            .iter()
            .map(|(principal, templates)| (*principal, Values::new(templates, subject, principal.matching()).on(side)));
        let impersonate = |list: fn(&Impersonate) -> &Vec<Parsed<Template>>| {
            conditions
                .impersonate
                .as_ref()
                .map(|part| Values::new(list(part), subject, Matching::Patterns))
                .unwrap_or_default()
        };
        Self {
            labels: labels.collect(),
            principals: principals.collect(),
            impersonate_users: impersonate(|part| &part.users),
            impersonate_roles: impersonate(|part| &part.roles),
            details,
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
    fn new(templates: &[Parsed<Template>], subject: &Subject, matching: Matching) -> Self {
        let mut made = Self { matching, ..Self::default() };
        for template in templates {
            made.add(template, subject);
        }
        made
    }

    /// The values of texts that are still to be parsed.
    pub(crate) fn of<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, subject: &Subject, matching: Matching) -> Self {
        let templates: Vec<_> = texts.into_iter().map(|text| template(text.as_ref())).collect();
        Self::new(&templates, subject, matching)
    }

    /// The values of one text that is a pattern, and that means itself when it is empty.
    pub(crate) fn or_empty(text: &str, subject: &Subject) -> Self {
        if text.is_empty() {
            let values = vec![(String::new(), Pattern::Literal(String::new()))];
            return Self { values, ..Self::default() };
        }
        Self::of([text], subject, Matching::Patterns)
    }

    /// The values as a role's side means them: whoever writes `*` to deny means everything, in every list.
    pub(crate) fn on(mut self, side: Side) -> Self {
        let stars = self.values.iter_mut().filter(|(value, _)| side == Side::Deny && value == "*");
        stars.for_each(|(_, pattern)| *pattern = Pattern::Any);
        self
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.values.append(&mut other.values);
        self.broken = self.broken.take().or(other.broken);
    }

    /// What is left of values that do not count: that some could not be told.
    pub(crate) fn without_values(mut self) -> Self {
        self.values.clear();
        self
    }

    fn add(&mut self, template: &Parsed<Template>, subject: &Subject) {
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
            if self.matching != Matching::Patterns {
                let compared = self.fold(&value).into_owned();
                self.values.push((value, Pattern::Literal(compared)));
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
        let value = &*self.fold(value);
        match &self.broken {
            _ if self.values.iter().any(|(_, pattern)| pattern.matches(value)) => Outcome::Yes,
            Some(reason) => Outcome::Unknown(reason.clone()),
            None => Outcome::No,
        }
    }

    fn fold<'a>(&self, value: &'a str) -> Cow<'a, str> {
        if self.matching == Matching::Folded { value.to_lowercase().into() } else { value.into() }
    }

    /// Whether there is nothing in the list, not even something that could not be told.
    pub(crate) const fn is_empty(&self) -> bool {
        self.values.is_empty() && self.broken.is_none()
    }

    /// Whether every value fits.
    pub(crate) fn is_any(&self) -> bool {
        self.values.iter().any(|(_, pattern)| matches!(pattern, Pattern::Any))
    }

    pub(crate) const fn is_broken(&self) -> bool {
        self.broken.is_some()
    }
}

impl LabelMap {
    pub(crate) fn of(labels: &Labels, subject: &Subject) -> Self {
        let labels =
            labels.iter().map(|(key, values)| (key.clone(), values.iter().map(|text| template(text)).collect()));
        Self::new(&labels.collect(), subject)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn new(selector: &BTreeMap<String, Vec<Parsed<Template>>>, subject: &Subject) -> Self {
        let is_star = |templates: &Vec<Parsed<Template>>| {
            templates.iter().flatten().any(|template| template.as_literal() == Some("*"))
        };
        let labels = selector.iter();
        Self {
            wildcard: selector.get("*").is_some_and(is_star),
            labels: labels
                .map(|(key, values)| (key.clone(), Values::new(values, subject, Matching::Patterns)))
                .collect(),
        }
    }

    /// AND over keys, OR over the values of a key; a label that the resource does not have fits nothing, not even `*`.
    pub(crate) fn holds(&self, labels: &BTreeMap<String, String>) -> Outcome {
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
