//! A lock goes.

use audit::events::lock::LockDelete;
use domain::{Error, resources::Lock};
use store::Change;

use super::described;
use crate::{Auth, Caller, Operation, guard::Guard};

/// Removes a lock: whom it hit is let in again.
///
/// # Errors
/// Denied, not found.
pub async fn delete(auth: &Auth, caller: &Caller, name: &str) -> Result<(), Error> {
    let guard = Guard::new(auth, caller, Operation::DeleteLock);
    let record = |change: Change, lock: &Lock| {
        Ok(change.event(&LockDelete {
            resource: guard.resource(lock),
            user: caller.user_metadata(),
            connection: caller.connection(),
            lock: described(lock),
        }))
    };
    guard.delete(name, record).await
}
