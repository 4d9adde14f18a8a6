//! A lock goes.

use audit::events::lock::LockDelete;
use domain::{Error, resources::Lock};
use rbac::Verb;

use super::described;
use crate::{Auth, Caller, Operation, guard::Guard};

/// Removes a lock: whom it hit is let in again.
///
/// # Errors
/// Denied, not found.
pub async fn delete(auth: &Auth, caller: &Caller, name: &str) -> Result<(), Error> {
    let guard = Guard::new(auth, caller, Operation::DeleteLock);
    let lock: Lock = guard.fetch(name, &[Verb::Delete]).await?;
    let event = LockDelete {
        resource: guard.resource(&lock),
        user: caller.user_metadata(),
        connection: caller.connection(),
        lock: described(&lock),
    };
    auth.store.change().delete::<Lock>(name).event(&event).commit().await.map(|_| ())
}
