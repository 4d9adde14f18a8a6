//! A bot instance goes and leaves a tombstone: its certificates cannot renew any more.

use audit::events::bot::BotInstanceDelete;
use clock::Timestamp;
use domain::{Error, error::Kind as ErrorKind, resources::BotInstance};
use rbac::Verb;
use store::{Change, ListRequest, settle};

use super::records;
use crate::{Auth, Caller, Operation, guard::Guard};

/// Instances that go in one commit: at most four writes and two conditions each.
const PER_COMMIT: usize = storage::MAX_BATCH_OPERATIONS / 6;

/// Removes an instance. Other instances of the bot go on.
///
/// # Errors
/// Denied, not found.
pub async fn delete(auth: &Auth, caller: &Caller, bot: &str, instance: &str) -> Result<(), Error> {
    let guard = Guard::new(auth, caller, Operation::DeleteBotInstance);
    settle(|| attempt(&guard, bot, instance)).await
}

async fn attempt(guard: &Guard<'_>, bot: &str, instance: &str) -> Result<(), Error> {
    let mut change = guard.auth.store.change();
    let found: BotInstance = guard.fetch_for(&mut change, bot, instance, &[Verb::Delete]).await?;
    let event = BotInstanceDelete {
        resource: guard.resource(&found),
        user: guard.caller.user_metadata(),
        connection: guard.caller.connection(),
    };
    bury(guard.auth, change, &found).await?.event(&event).commit().await.map(|_| ())
}

/// Removes all instances of a bot that is gone, some at a time. Each goes with its tombstone, in one commit.
pub(crate) async fn bury_all(auth: &Auth, bot: &str) -> Result<(), Error> {
    loop {
        let request = ListRequest::page(PER_COMMIT, "").within(bot);
        let page = auth.store.list::<BotInstance>(&request).await?;
        if page.items.is_empty() {
            return Ok(());
        }
        let mut change = auth.store.change();
        for instance in &page.items {
            change = bury(auth, change, instance).await?;
        }
        match change.commit().await {
            // A request of one of them was answered meanwhile: look again. Without their bot they cannot renew for ever.
            Err(error) if error.kind != ErrorKind::Conflict => return Err(error),
            _ => {}
        }
    }
}

/// Adds the removal of an instance as it was read, and its tombstone, which lives as long as any certificate of it can renew.
async fn bury(auth: &Auth, mut change: Change, instance: &BotInstance) -> Result<Change, Error> {
    let (now, grace) = (auth.clock.now(), auth.config.bot_renewal_grace);
    let name = &instance.metadata.name;
    let lineage = records::lineage(&mut change, name).await?;
    let until = lineage.as_ref().map(|lineage| lineage.expires(grace));
    let until = until.max(instance.metadata.expires).unwrap_or_else(|| longest(now, grace));
    let change = match lineage.and_then(|lineage| lineage.join) {
        Some(token) => records::drop_join_answer(change, &token),
        None => change,
    };
    records::bury(change.delete_exactly(instance)?, name, now, until)
}

/// The end of an instance of which nothing is known.
fn longest(now: Timestamp, grace: std::time::Duration) -> Timestamp {
    let life = domain::resources::bot::DEFAULT_MAX_SESSION_TTL.saturating_add(grace);
    now.saturating_add(life).unwrap_or(Timestamp::MAX)
}
