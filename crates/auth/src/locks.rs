//! Locks: shutting out users, roles, bot instances and more, at once and on live connections.

use audit::events::lock::{LockCreate, LockMetadata};
use domain::resources::Lock;

use crate::Auth;

/// The audit event of a lock that was made; the caller fills in who made it.
pub(crate) fn created(auth: &Auth, lock: &Lock) -> LockCreate {
    let target = serde_json::to_value(&lock.spec.target).unwrap_or_default();
    LockCreate {
        resource: audit::ResourceMetadata::new(lock.metadata.name.clone(), lock.spec.expires, auth.host_name()),
        target: target.clone(),
        lock: LockMetadata { target, message: lock.spec.message.clone() },
        ..LockCreate::default()
    }
}
