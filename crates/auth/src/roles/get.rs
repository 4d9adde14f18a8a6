//! One role.

use domain::{Error, resources::Role};
use rbac::Verb;

use crate::{Auth, Caller, Operation, guard::Guard};

/// The role of this name. A caller may always read the roles that it holds.
///
/// # Errors
/// Denied, not found.
pub async fn get(auth: &Auth, caller: &Caller, name: &str) -> Result<Role, Error> {
    if caller.system_role().is_none() && caller.access().has_role(name) {
        return auth.store.fetch(name).await;
    }
    Guard::new(auth, caller, Operation::ReadRoles).fetch(name, &[Verb::Read]).await
}
