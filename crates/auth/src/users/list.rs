//! Pages of users.

use domain::{
    Error, Resource as _, metadata,
    resources::{User, user::Traits},
};
use rbac::Verb;
use store::{ListRequest, Page};

use super::reading;
use crate::{Auth, Caller, Operation, guard::Guard, search::Keywords};

/// How many values of traits one search may name: each is looked for at every user.
const MAX_TRAITS: usize = 64;

/// Which users.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Each must be part of the name, of a label or of a role; letter case is ignored.
    pub keywords: Vec<String>,
    /// Whether users of the system itself are left out.
    pub skip_system: bool,
    /// Traits that the user must have, each with one of the values.
    pub traits: Traits,
}

impl Filter {
    fn matches(&self, user: &User, keywords: &Keywords) -> bool {
        let roles: Vec<&str> = user.spec.roles.iter().map(String::as_str).collect();
        let has_trait = |(key, values): (&String, &Vec<String>)| {
            user.spec
                .traits
                .get(key)
                .is_some_and(|held| values.is_empty() || values.iter().any(|value| held.contains(value)))
        };
        !(self.skip_system && user.metadata.label(metadata::RESOURCE_TYPE) == "system")
            && keywords.match_resource(user.metadata(), &roles)
            && self.traits.iter().all(has_trait)
    }
}

/// A page of the users that the caller may see.
///
/// # Errors
/// Denied, invalid page token.
pub async fn list(
    auth: &Auth,
    caller: &Caller,
    request: ListRequest<'_>,
    filter: &Filter,
    with_secrets: bool,
) -> Result<Page<User>, Error> {
    let guard = Guard::new(auth, caller, Operation::ReadUsers);
    let keywords = Keywords::parse(&filter.keywords)?;
    if filter.traits.values().map(|values| values.len().max(1)).sum::<usize>() > MAX_TRAITS {
        return Err(Error::invalid(format!("traits: at most {MAX_TRAITS} values can be searched for at once")));
    }
    let verbs = [Verb::List, reading(caller, with_secrets)?];
    let mut page = guard.page(&request, &verbs, |user| filter.matches(user, &keywords)).await?;
    if !with_secrets {
        page.items = page.items.into_iter().map(User::without_secrets).collect();
    }
    Ok(page)
}
