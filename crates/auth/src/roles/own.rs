//! The caller's own roles.

use domain::{Error, resources::Role};

use crate::{Auth, Caller};

/// The roles that the caller holds; what holds a part of the system is built in.
///
/// # Errors
/// Not found when a role went meanwhile.
pub async fn own(auth: &Auth, caller: &Caller) -> Result<Vec<Role>, Error> {
    if let Some(role) = caller.system_role() {
        return Ok(vec![rbac::builtin::role(role)]);
    }
    let mut roles = Vec::with_capacity(caller.identity().roles.len());
    for name in &caller.identity().roles {
        roles.push(auth.store.fetch(name).await?);
    }
    Ok(roles)
}
