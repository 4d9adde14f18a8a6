//! A role at a known revision.

use domain::{Error, resources::Role};

use crate::{Auth, Caller, Operation, guard::Guard};

/// Replaces a role that still has the revision that `role` carries.
///
/// # Errors
/// Denied, invalid, not found, conflict.
pub async fn update(auth: &Auth, caller: &Caller, role: Role) -> Result<Role, Error> {
    Guard::new(auth, caller, Operation::UpdateRole).update(role).await
}
