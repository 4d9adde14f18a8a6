//! A bot, whatever was there.

use domain::{Error, Resource as _, resources::Bot};
use rbac::Verb;
use store::settle;

use super::{create::store_new, update::replace};
use crate::{
    Auth, Caller, Operation,
    guard::{Guard, UPSERT},
};

/// Stores a bot with its user and its role whether it exists or not; its revision is ignored.
///
/// # Errors
/// Denied, invalid; not found for a role that does not exist.
pub async fn upsert(auth: &Auth, caller: &Caller, bot: Bot) -> Result<Bot, Error> {
    let guard = Guard::new(auth, caller, Operation::UpsertBot);
    guard.may(Bot::KIND, &UPSERT)?;
    guard.on(&bot, &UPSERT)?;
    settle(|| attempt(&guard, bot.clone())).await
}

async fn attempt(guard: &Guard<'_>, mut bot: Bot) -> Result<Bot, Error> {
    let mut change = guard.auth.store.change();
    match change.read::<Bot>(bot.name()).await? {
        None => store_new(guard, change, bot).await,
        Some(old) => {
            guard.on(&old, &[Verb::Update])?;
            bot.metadata.revision = old.metadata.revision;
            replace(guard, change, bot).await
        }
    }
}
