//! Users: people, and what stands behind bots.

mod create;
mod delete;
mod get;
mod invite;
mod list;
mod update;
mod upsert;

use audit::events::user::{UserCreate, UserUpdate};
use domain::{
    Error, Resource as _,
    error::Reason,
    resources::{
        User,
        user::{CreatedBy, UserRef},
    },
    role::SystemRole,
};
use rbac::Verb;
use store::Change;

pub use create::create;
pub use delete::delete;
pub use get::{Which, get};
pub use invite::{Invitation, Purpose, invitation, invite};
pub use list::{Filter, list};
pub use update::update;
pub use upsert::upsert;

use crate::{
    Caller,
    guard::{Guard, Written},
};

/// What may be read. The hash of a password and the keys of second factors leave for the administrator of the machine only:
/// no rule of a role gives them, for whoever has them can pass for the user.
fn reading(caller: &Caller, with_secrets: bool) -> Result<Verb, Error> {
    match (with_secrets, caller.system_role()) {
        (false, _) => Ok(Verb::ReadNoSecrets),
        (true, Some(SystemRole::Admin)) => Ok(Verb::Read),
        (true, _) => Err(Error::denied(
            "access denied: secrets of users can be read on the machine of the auth service only: run tctl there",
        )
        .because(Reason::AccessDenied)),
    }
}

impl Written for User {
    fn settle(&mut self, old: Option<&Self>, guard: &Guard<'_>) -> Result<(), Error> {
        for user in old.into_iter().chain([&*self]) {
            refuse_of_bot(user)?;
        }
        match old {
            None => self.spec.created_by = created_by(guard),
            Some(old) => {
                self.spec.created_by.clone_from(&old.spec.created_by);
                // Whoever read the user without secrets and writes it back takes none away.
                if self.spec.local_auth.is_none() {
                    self.spec.local_auth.clone_from(&old.spec.local_auth);
                }
            }
        }
        self.status = old.map(|old| old.status.clone()).unwrap_or_default();
        Ok(())
    }

    fn roles(&self) -> &[String] {
        &self.spec.roles
    }

    fn record(&self, change: Change, old: Option<&Self>, guard: &Guard<'_>) -> Change {
        let (user, resource, connection) =
            (guard.caller.user_metadata(), guard.resource(self), guard.caller.connection());
        let (roles, connector) = (self.spec.roles.clone(), "local".to_owned());
        match old {
            None => change.event(&UserCreate { user, resource, connection, roles, connector }),
            Some(_) => change.event(&UserUpdate { user, resource, connection, roles, connector }),
        }
    }
}

/// Who made something, and when.
pub(crate) fn created_by(guard: &Guard<'_>) -> CreatedBy {
    CreatedBy {
        time: Some(guard.auth.clock.now()),
        user: UserRef { name: guard.caller.name().to_owned() },
        ..CreatedBy::default()
    }
}

/// A bot's user says what its bot says; it is not written by hand.
fn refuse_of_bot(user: &User) -> Result<(), Error> {
    match user.bot_name() {
        None => Ok(()),
        Some(bot) => Err(Error::invalid(format!(
            "user {:?} belongs to bot {bot:?} and changes with it: tctl bots update {bot}, tctl bots rm {bot}",
            user.name()
        ))),
    }
}
