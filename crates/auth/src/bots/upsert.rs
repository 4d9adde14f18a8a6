//! A bot, whatever was there.

use domain::{Error, Resource as _, error::Kind as ErrorKind, resources::Bot};
use rbac::Verb;

use super::{create::store_new, update::replace};
use crate::{Auth, Caller, Operation, guard::Guard};

/// How often somebody else may come between.
const ATTEMPTS: usize = 8;

/// Stores a bot with its user and its role whether it exists or not; its revision is ignored.
///
/// # Errors
/// Denied, invalid; not found for a role that does not exist.
pub async fn upsert(auth: &Auth, caller: &Caller, bot: Bot) -> Result<Bot, Error> {
    let guard = Guard::new(auth, caller, Operation::UpsertBot);
    guard.may(Bot::KIND, &[Verb::Create, Verb::Update])?;
    guard.on(&bot, &[Verb::Create, Verb::Update])?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let result = match auth.store.get::<Bot>(bot.name()).await? {
            None => store_new(&guard, bot.clone()).await,
            Some(old) => {
                guard.on(&old, &[Verb::Update])?;
                let mut new = bot.clone();
                new.metadata.revision.clone_from(&old.metadata.revision);
                replace(&guard, new).await
            }
        };
        match result {
            Err(error)
                if attempts < ATTEMPTS && matches!(error.kind(), ErrorKind::Conflict | ErrorKind::AlreadyExists) => {}
            other => return other,
        }
    }
}
