//! A new bot, its user and its role.

use audit::events::bot::BotCreate;
use domain::{Error, Resource as _, resources::Bot};
use rbac::Verb;
use store::{Change, settle};

use super::derived::{Derived, give_roles};
use crate::{Auth, Caller, Operation, guard::Guard, instances};

/// Makes a bot with its user and its role, in one commit.
///
/// # Errors
/// Denied, invalid, already exists; not found for a role that does not exist.
pub async fn create(auth: &Auth, caller: &Caller, bot: Bot) -> Result<Bot, Error> {
    let guard = Guard::new(auth, caller, Operation::CreateBot);
    settle(|| store_new(&guard, auth.store.change(), bot.clone())).await
}

pub(super) async fn store_new(guard: &Guard<'_>, change: Change, mut bot: Bot) -> Result<Bot, Error> {
    let auth = guard.auth;
    guard.may(Bot::KIND, &[Verb::Create])?;
    bot.set_defaults();
    guard.check(&bot)?;
    guard.on(&bot, &[Verb::Create])?;
    let change = give_roles(auth, change.create(&bot)?, &bot).await?;
    if auth.store.get::<Bot>(bot.name()).await?.is_none() {
        // Identities of a deleted bot of the same name must not become this bot's, should their removal have been cut short.
        instances::bury_all(auth, bot.name()).await?;
    }
    // What exists without the bot was left behind by nobody: a bot's three parts come and go together.
    let nothing = Derived::none();
    let event = BotCreate {
        resource: guard.resource(&bot),
        user: guard.caller.user_metadata(),
        connection: guard.caller.connection(),
    };
    let receipt = nothing.put(change, &bot, guard)?.event(&event).commit().await?;
    Ok(receipt.stamp(bot))
}
