//! Roles: what their holders may do.

mod create;
mod delete;
mod get;
mod held;
mod list;
mod own;
mod update;
mod upsert;

use audit::events::role::{RoleCreate, RoleUpdate};
use domain::{Error, Resource as _, metadata, resources::Role};
use store::Change;

pub use create::create;
pub use delete::delete;
pub use get::get;
pub(crate) use held::given;
pub use list::{Filter, list};
pub use own::own;
pub use update::update;
pub use upsert::upsert;

use crate::guard::{Guard, Written};

/// Marks a role that was shown to an old client in an older form, with parts left out.
pub const DOWNGRADED: &str = "teleport.internal/downgraded";

impl Written for Role {
    fn settle(&mut self, old: Option<&Self>, _: &Guard<'_>) -> Result<(), Error> {
        for role in old.into_iter().chain([&*self]) {
            refuse_derived(role)?;
        }
        if self.metadata.labels.contains_key(DOWNGRADED) {
            return Err(Error::invalid(format!(
                "role {:?} was shown to your client in an older version and lacks parts of the stored one; change it with a newer client",
                self.name()
            )));
        }
        Ok(())
    }

    fn record(&self, change: Change, old: Option<&Self>, guard: &Guard<'_>) -> Change {
        let (resource, user, connection) =
            (guard.resource(self), guard.caller.user_metadata(), guard.caller.connection());
        match old {
            None => change.event(&RoleCreate { resource, user, connection }),
            Some(_) => change.event(&RoleUpdate { resource, user, connection }),
        }
    }
}

/// Whether a role belongs to the system itself rather than to an administrator.
fn is_system(role: &Role) -> bool {
    role.metadata.label(metadata::RESOURCE_TYPE) == "system"
}

/// A bot's role says what its bot says, and a system role what the program says: neither is written by hand.
fn refuse_derived(role: &Role) -> Result<(), Error> {
    if let Some(bot) = role.metadata.labels.get(metadata::BOT) {
        return Err(Error::invalid(format!(
            "role {:?} belongs to bot {bot:?} and changes with it: tctl bots update {bot}",
            role.name()
        )));
    }
    if is_system(role) {
        return Err(Error::invalid(format!("role {:?} belongs to the system and cannot be changed", role.name())));
    }
    Ok(())
}
