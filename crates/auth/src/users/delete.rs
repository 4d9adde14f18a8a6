//! A user goes.

use audit::events::user::UserDelete;
use domain::{Error, resources::User};
use rbac::Verb;

use super::refuse_of_bot;
use crate::{Auth, Caller, Operation, guard::Guard};

/// Removes a user: its certificates are refused from then on, on live connections too.
///
/// # Errors
/// Denied, not found; invalid for the user of a bot, which goes with its bot.
pub async fn delete(auth: &Auth, caller: &Caller, name: &str) -> Result<(), Error> {
    let guard = Guard::new(auth, caller, Operation::DeleteUser);
    let user: User = guard.fetch(name, &[Verb::Delete]).await?;
    refuse_of_bot(&user)?;
    let event =
        UserDelete { user: caller.user_metadata(), resource: guard.resource(&user), connection: caller.connection() };
    auth.store.change().delete_exactly(&user)?.event(&event).commit().await.map(|_| ())
}
