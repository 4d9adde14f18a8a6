//! One lock.

use domain::{Error, resources::Lock};
use rbac::Verb;

use crate::{Auth, Caller, Operation, guard::Guard};

/// The lock of this name.
///
/// # Errors
/// Denied, not found.
pub async fn get(auth: &Auth, caller: &Caller, name: &str) -> Result<Lock, Error> {
    Guard::new(auth, caller, Operation::ReadLocks).fetch(name, &[Verb::Read]).await
}
