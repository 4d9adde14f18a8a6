//! A bot, its user and its role go.

use audit::events::bot::BotDelete;
use domain::{Error, resources::Bot};
use rbac::Verb;
use store::settle;

use super::derived::Derived;
use crate::{Auth, Caller, Operation, guard::Guard, instances};

/// Removes a bot with its user and its role, then its instances. Locks stay, so that what was shut out stays out.
///
/// From the first commit on nothing of the bot can join or renew. Should the removal of its instances be cut short, a new bot
/// of the same name removes them before it begins.
///
/// # Errors
/// Denied, not found; conflict when a user or role under the bot's name belongs to somebody else.
pub async fn delete(auth: &Auth, caller: &Caller, name: &str) -> Result<(), Error> {
    let guard = Guard::new(auth, caller, Operation::DeleteBot);
    settle(|| attempt(&guard, name)).await?;
    instances::bury_all(auth, name).await
}

async fn attempt(guard: &Guard<'_>, name: &str) -> Result<(), Error> {
    let mut change = guard.auth.store.change();
    let bot: Bot = guard.fetch_for(&mut change, "", name, &[Verb::Delete]).await?;
    let derived = Derived::read(&mut change, &bot).await?;
    let event = BotDelete {
        resource: guard.resource(&bot),
        user: guard.caller.user_metadata(),
        connection: guard.caller.connection(),
    };
    derived.remove(change.delete_exactly(&bot)?)?.event(&event).commit().await.map(|_| ())
}
