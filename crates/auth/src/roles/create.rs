//! A new role.

use domain::{Error, resources::Role};

use crate::{Auth, Caller, Operation, guard::Guard};

/// Stores a role that is not there yet, and returns it with its revision.
///
/// # Errors
/// Denied, invalid, already exists.
pub async fn create(auth: &Auth, caller: &Caller, role: Role) -> Result<Role, Error> {
    Guard::new(auth, caller, Operation::CreateRole).create(role).await
}
