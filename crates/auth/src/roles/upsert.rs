//! A role, whatever was there.

use domain::{Error, resources::Role};

use crate::{Auth, Caller, Operation, guard::Guard};

/// Stores a role whether it exists or not; its revision is ignored.
///
/// # Errors
/// Denied, invalid.
pub async fn upsert(auth: &Auth, caller: &Caller, role: Role) -> Result<Role, Error> {
    // A role is large, and an upsert holds several: on the heap, not in the future of every call.
    Box::pin(Guard::new(auth, caller, Operation::UpsertRole).upsert(role)).await
}
