//! Locks: shutting out users, roles, bot instances and more, at once and on live connections.

mod delete;
mod get;
mod list;
mod upsert;

use audit::events::lock::{LockCreate, LockMetadata};
use domain::{Error, resources::Lock};
use store::Change;

pub use delete::delete;
pub use get::get;
pub use list::{Filter, list};
pub use upsert::upsert;

use crate::{
    Auth,
    guard::{Guard, Written},
};

impl Written for Lock {
    /// Who made a lock, and when, is the server's to say.
    fn settle(&mut self, old: Option<&Self>, guard: &Guard<'_>) -> Result<(), Error> {
        let (at, by) = match old {
            Some(old) => (old.spec.created_at, old.spec.created_by.clone()),
            None => (Some(guard.auth.clock.now()), guard.caller.name().to_owned()),
        };
        (self.spec.created_at, self.spec.created_by) = (at, by);
        Ok(())
    }

    fn record(&self, change: Change, _: Option<&Self>, guard: &Guard<'_>) -> Change {
        let event = created(guard.auth, self);
        change.event(&LockCreate {
            resource: audit::ResourceMetadata { updated_by: guard.caller.name().to_owned(), ..event.resource },
            user: guard.caller.user_metadata(),
            connection: guard.caller.connection(),
            ..event
        })
    }
}

/// The audit event of a lock that was made; the caller fills in who made it.
pub(crate) fn created(auth: &Auth, lock: &Lock) -> LockCreate {
    let lock_metadata = described(lock);
    LockCreate {
        resource: audit::ResourceMetadata::new(lock.metadata.name.clone(), lock.spec.expires, auth.host_name()),
        target: lock_metadata.target.clone(),
        lock: lock_metadata,
        ..LockCreate::default()
    }
}

/// What an audit event says about a lock.
fn described(lock: &Lock) -> LockMetadata {
    let target = serde_json::to_value(lock.spec.target.masked()).unwrap_or_default();
    LockMetadata { target, message: lock.spec.message.clone() }
}
