//! Roles, compiled once for everybody who holds them: expressions and templates parsed, kinds and verbs resolved.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    Kind, Resource as _,
    resources::role::{Role, RoleConditions, Rule},
};
use predicate::{Expression, Template, parse_labels_expression, parse_template, parse_where};

use crate::{
    decision::Side,
    family::Family,
    principal::Principal,
    verb::{Verb, Verbs},
};

/// Something that is parsed. A role that is stored but does not parse (an older version wrote it, or somebody wrote to
/// the storage) must neither allow anything by it nor lose a denial: what is broken never holds in `allow` and always in `deny`.
pub(crate) type Parsed<T> = Result<T, String>;

/// A role, compiled.
#[derive(Debug)]
pub struct CompiledRole {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    pub(crate) allow: Conditions,
    pub(crate) deny: Conditions,
}

/// `allow` or `deny`, compiled.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) rules: Vec<CompiledRule>,
    pub(crate) labels: BTreeMap<Family, Selector>,
    pub(crate) principals: BTreeMap<Principal, Vec<Parsed<Template>>>,
    pub(crate) impersonate: Option<Impersonate>,
}

#[derive(Debug)]
pub(crate) struct CompiledRule {
    any_kind: bool,
    kinds: Vec<Kind>,
    pub(crate) verbs: Verbs,
    pub(crate) condition: Option<Parsed<Expression>>,
}

/// A label selector with its values still to be expanded, and the expression beside it.
#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) labels: BTreeMap<String, Vec<Parsed<Template>>>,
    pub(crate) expression: Option<Parsed<Expression>>,
}

#[derive(Debug)]
pub(crate) struct Impersonate {
    pub(crate) users: Vec<Parsed<Template>>,
    pub(crate) roles: Vec<Parsed<Template>>,
    pub(crate) condition: Option<Parsed<Expression>>,
}

pub(crate) fn template(text: &str) -> Parsed<Template> {
    parse_template(text).map_err(|error| format!("{text:?}: {error}"))
}

fn templates(texts: &[String]) -> Vec<Parsed<Template>> {
    texts.iter().map(|text| template(text)).collect()
}

fn expression(text: &str, parse: fn(&str) -> Result<Expression, predicate::ParseError>) -> Option<Parsed<Expression>> {
    (!text.trim().is_empty()).then(|| parse(text).map_err(|error| format!("{text:?}: {error}")))
}

impl CompiledRule {
    fn new(rule: &Rule) -> Self {
        Self {
            any_kind: rule.resources.iter().any(|kind| kind == "*"),
            kinds: rule.resources.iter().filter_map(|kind| Kind::parse(kind)).collect(),
            verbs: Verbs::parse(rule.verbs.iter().map(String::as_str)),
            condition: expression(&rule.condition, parse_where),
        }
    }

    /// Whether the rule is about this kind and verb; its condition is another matter.
    pub(crate) fn concerns(&self, side: Side, kind: Kind, verb: Verb) -> bool {
        let verb_fits = match side {
            Side::Allow => self.verbs.allow(verb),
            Side::Deny => self.verbs.deny(verb),
        };
        verb_fits && (self.any_kind || self.kinds.contains(&kind) || self.kinds.contains(&general(kind)))
    }
}

/// `auth_connector` in a rule stands for every connector.
const fn general(kind: Kind) -> Kind {
    match kind {
        Kind::Oidc | Kind::Saml | Kind::Github => Kind::AuthConnector,
        other => other,
    }
}

impl Conditions {
    fn new(conditions: &RoleConditions) -> Self {
        let labels = Family::ALL.into_iter().filter_map(|family| Some((family, Selector::new(family, conditions)?)));
        let principals = Principal::ALL.iter().filter_map(|principal| {
            let values: Vec<_> = principal.of(conditions).into_iter().map(template).collect();
            (!values.is_empty()).then_some((*principal, values))
        });
        Self {
            rules: conditions.rules.iter().map(CompiledRule::new).collect(),
            labels: labels.collect(),
            principals: principals.collect(),
            impersonate: conditions.impersonate.as_ref().map(|impersonate| Impersonate {
                users: templates(&impersonate.users),
                roles: templates(&impersonate.roles),
                condition: expression(&impersonate.condition, parse_where),
            }),
        }
    }
}

impl Selector {
    fn new(family: Family, conditions: &RoleConditions) -> Option<Self> {
        let (labels, text) = family.of(conditions);
        let labels: BTreeMap<_, _> = labels.iter().map(|(key, values)| (key.clone(), templates(values))).collect();
        let expression = expression(text, parse_labels_expression);
        (!labels.is_empty() || expression.is_some()).then_some(Self { labels, expression })
    }
}

impl CompiledRole {
    /// Compiles a role; what its version means by saying nothing is filled in.
    #[must_use]
    pub fn new(mut role: Role) -> Self {
        role.set_defaults();
        Self {
            name: role.metadata.name.as_str().into(),
            allow: Conditions::new(&role.spec.allow),
            deny: Conditions::new(&role.spec.deny),
            role,
        }
    }

    /// The name of the role.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The role itself, with defaults.
    #[must_use]
    pub const fn role(&self) -> &Role {
        &self.role
    }

    pub(crate) const fn side(&self, side: Side) -> &Conditions {
        match side {
            Side::Allow => &self.allow,
            Side::Deny => &self.deny,
        }
    }
}

/// The roles that somebody holds. Shared, never copied: a cache compiles each role once and puts sets together from them.
#[derive(Debug, Clone, Default)]
pub struct RoleSet {
    roles: Vec<Arc<CompiledRole>>,
}

impl RoleSet {
    /// Compiles roles to a set.
    pub fn new(roles: impl IntoIterator<Item = Role>) -> Self {
        Self { roles: roles.into_iter().map(|role| Arc::new(CompiledRole::new(role))).collect() }
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(|role| role.name())
    }

    /// The roles, in order.
    #[must_use]
    pub fn roles(&self) -> &[Arc<CompiledRole>] {
        &self.roles
    }
}

impl FromIterator<Arc<CompiledRole>> for RoleSet {
    fn from_iter<I: IntoIterator<Item = Arc<CompiledRole>>>(roles: I) -> Self {
        Self { roles: roles.into_iter().collect() }
    }
}
