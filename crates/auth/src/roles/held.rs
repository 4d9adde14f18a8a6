//! That a role exists as long as somebody holds it, whoever gives and removes it at the same moment, and however many
//! roles are given at once.
//!
//! A batch has room for few conditions, so there is not one for each role. Two marks stand for all roles: one is moved by
//! whatever gives roles, the other by whatever removes one. Each side looks at the mark of the other before it looks at the
//! roles, or at who holds them, and its change happens only if that mark has not moved. Those who give roles do not get in
//! each other's way.

use std::collections::BTreeSet;

use domain::{Error, resources::Role};
use storage::Key;
use store::Change;

use crate::Auth;

fn mark(what: &str) -> Key {
    Key::new("tessera_roles", what)
}

/// Adds that these roles exist when the change happens, and that it gives them to somebody.
///
/// # Errors
/// Not found for a role that does not exist; the commit fails as a lost race when a role was removed meanwhile.
pub(crate) async fn given(auth: &Auth, mut change: Change, roles: &[String]) -> Result<Change, Error> {
    if roles.is_empty() {
        return Ok(change);
    }
    change.read_record(mark("removed")).await?;
    for role in roles.iter().collect::<BTreeSet<_>>() {
        auth.store.fetch::<Role>(role).await?;
    }
    Ok(change.put_record(mark("given"), Vec::new(), None))
}

/// Adds that a role goes; to be called before anybody looks for its holders. The commit fails as a lost race when a role was
/// given to somebody meanwhile.
pub(super) async fn removed(mut change: Change) -> Result<Change, Error> {
    change.read_record(mark("given")).await?;
    Ok(change.put_record(mark("removed"), Vec::new(), None))
}
