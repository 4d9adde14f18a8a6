//! Decides as the server would for somebody else, and says what each role contributed.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    Error, Kind,
    resources::{Role, User, token},
};
use rbac::{AccessChecker, Explanation, Family, Named, RoleSet, RuleContext, Verb};
use serde::Deserialize;
use storage::Key;

use crate::{Auth, Caller, Operation, failure::internal, guard::Guard};

/// Whose access is explained.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A user, with the roles and traits that are stored.
    User(String),
    /// Nobody in particular, with these roles.
    Roles(Vec<String>),
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whose access.
    pub subject: Subject,
    /// The verb: one of rules, or `reach` for an application, `impersonate`, `request` or `search` for a role.
    pub verb: String,
    /// The kind of resource.
    pub kind: String,
    /// The group of the resource, for kinds that have groups.
    pub sub_kind: String,
    /// The resource; empty for the kind as a whole.
    pub name: String,
}

/// What somebody wants, besides using a verb of rules.
#[derive(Clone, Copy)]
enum Wish {
    /// To use a verb of rules.
    Use(Verb),
    /// To reach a resource of this family.
    Reach(Family),
    /// To hold a role in a certificate of one's own name.
    Impersonate,
    /// To ask for a role.
    Request,
    /// To look for resources as if one had a role.
    Search,
}

impl Wish {
    fn parse(verb: &str, kind: Kind, name: &str) -> Result<Self, Error> {
        let wish = match (verb, kind) {
            ("reach", Kind::App) => Self::Reach(Family::App),
            ("impersonate", Kind::Role) => Self::Impersonate,
            ("request", Kind::Role) => Self::Request,
            ("search", Kind::Role) => Self::Search,
            ("reach", _) => return Err(Error::invalid(format!("verb: reach is for an app, not for a {kind}"))),
            ("impersonate" | "request" | "search", _) => {
                return Err(Error::invalid(format!("verb: {verb} is for a role, not for a {kind}")));
            }
            (word, _) => return Verb::parse(word).map(Self::Use).ok_or_else(|| unknown(word)),
        };
        match name {
            "" => Err(Error::invalid(format!("name: {verb} needs one: write {kind}/NAME"))),
            _ => Ok(wish),
        }
    }
}

fn unknown(word: &str) -> Error {
    let verbs: Vec<&str> = Verb::ALL.iter().map(|verb| verb.as_str()).collect();
    Error::invalid(format!(
        "verb: must be one of {}, or reach (app), impersonate, request, search (role), found {word:?}",
        verbs.join(", ")
    ))
}

/// The part of a stored document that conditions see.
#[derive(Deserialize)]
struct Labelled {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// Explains a decision.
///
/// # Errors
/// Denied to who may not read the user, the roles and the resource, whether they exist or not; invalid verb or kind; not
/// found for a user, a role or a resource.
pub async fn explain(auth: &Auth, caller: &Caller, question: Question) -> Result<Explanation, Error> {
    let guard = Guard::new(auth, caller, Operation::ExplainAccess);
    for kind in [Kind::User, Kind::Role] {
        guard.may(kind, &[Verb::Read])?;
    }
    let kind = Kind::parse(&question.kind)
        .ok_or_else(|| Error::invalid(format!("kind: {:?} is no kind of resource", question.kind)))?;
    let wish = Wish::parse(&question.verb, kind, &question.name)?;
    let (user, names) = match question.subject {
        Subject::User(name) => {
            let user = guard.fetch::<User>(&name, &[Verb::Read]).await?;
            let roles = user.spec.roles.clone();
            (Some(user), roles)
        }
        Subject::Roles(names) => (None, names),
    };
    let mut roles = Vec::with_capacity(names.len());
    for name in &names {
        roles.push(guard.fetch::<Role>(name, &[Verb::Read]).await?);
    }
    let (name, traits) = user.map_or_else(Default::default, |user| (user.metadata.name, user.spec.traits));
    let checker = AccessChecker::new(name, &traits, Arc::new(RoleSet::new(roles)));
    let name = question.name.as_str();
    let labels = match name {
        "" => BTreeMap::new(),
        name => labels(&guard, kind, &question.sub_kind, name).await?,
    };
    let named = Named { name, labels: &labels };
    let context = RuleContext { resource: (!name.is_empty()).then_some(named), ..RuleContext::NONE };
    Ok(checker.explain(&match wish {
        Wish::Use(verb) => rbac::Question::Rule(kind, verb, &context),
        Wish::Reach(family) => rbac::Question::Labels(family, &labels),
        Wish::Impersonate => rbac::Question::ImpersonateRole(named),
        Wish::Request => rbac::Question::RequestRole(name),
        Wish::Search => rbac::Question::SearchAsRole(name),
    }))
}

/// The labels of a stored resource, whatever its kind.
async fn labels(guard: &Guard<'_>, kind: Kind, group: &str, name: &str) -> Result<BTreeMap<String, String>, Error> {
    let verbs = if kind == Kind::CertAuthority { [Verb::ReadNoSecrets] } else { [Verb::Read] };
    guard.may(kind, &verbs)?;
    let item = guard.auth.store.record(&Key::with_sub(kind.as_str(), group, name)).await?;
    let found: Option<Labelled> = item
        .map(|item| serde_json::from_slice(&item.value))
        .transpose()
        .map_err(|error| internal("a stored resource cannot be read", error))?;
    let found = found.map(|document| document.metadata.labels).or_else(|| announced(guard, kind, name));
    let is_there = found.is_some();
    let labels = found.unwrap_or_default();
    let context = RuleContext { resource: Some(Named { name, labels: &labels }), ..RuleContext::NONE };
    guard.ask(kind, name, &context, &verbs)?;
    if !is_there {
        let shown = if kind == Kind::Token { token::mask(name) } else { name.to_owned() };
        return Err(Error::not_found(format!("{kind} {shown:?} not found")));
    }
    Ok(labels)
}

/// The labels of an application that nobody stored and an agent serves: those that the decision about it would look at.
fn announced(guard: &Guard<'_>, kind: Kind, name: &str) -> Option<BTreeMap<String, String>> {
    let snapshot = guard.auth.cache.snapshot();
    let mut apps = snapshot.app_servers().filter_map(|server| server.spec.app.as_ref());
    let app = apps.find(|app| kind == Kind::App && app.metadata.name == name)?;
    Some(app.all_labels().into_owned())
}
