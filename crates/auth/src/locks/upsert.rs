//! A lock, whatever was there.

use domain::{Error, resources::Lock};

use crate::{Auth, Caller, Operation, guard::Guard};

/// Stores a lock whether it exists or not. It holds at once for whoever connects and, as soon as the change has gone round,
/// on live connections too.
///
/// # Errors
/// Denied, invalid.
pub async fn upsert(auth: &Auth, caller: &Caller, lock: Lock) -> Result<Lock, Error> {
    Guard::new(auth, caller, Operation::UpsertLock).upsert(lock).await
}
