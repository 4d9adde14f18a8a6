//! One user.

use domain::{Error, resources::User};

use super::reading;
use crate::{Auth, Caller, Operation, guard::Guard};

/// Which user is meant.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// The caller itself; everybody may read their own user, without its secrets.
    Current,
    /// The user of this name.
    Named(&'a str),
}

/// A user; with its secrets only for those who may read them.
///
/// # Errors
/// Denied, not found.
pub async fn get(auth: &Auth, caller: &Caller, which: Which<'_>, with_secrets: bool) -> Result<User, Error> {
    let name = match which {
        Which::Current => caller.name(),
        Which::Named(name) => name,
    };
    // A host's name could be that of a user; it is not that user.
    let is_own = caller.system_role().is_none() && name == caller.name();
    let user: User = if is_own && !with_secrets {
        auth.store.fetch(name).await?
    } else {
        Guard::new(auth, caller, Operation::ReadUsers).fetch(name, &[reading(caller, with_secrets)?]).await?
    };
    Ok(if with_secrets { user } else { user.without_secrets() })
}
