//! A bot instance goes and leaves a tombstone: its certificates cannot renew any more.

use audit::events::bot::BotInstanceDelete;
use clock::Timestamp;
use domain::{Error, error::Kind as ErrorKind, resources::BotInstance};
use rbac::Verb;
use store::{Change, Keyed as _, ListRequest};

use super::{RACES, records, unsettled};
use crate::{Auth, Caller, Operation, guard::Guard};

/// Instances that go in one commit: at most four writes and a condition each, of 64 operations that a commit may hold.
const PER_COMMIT: usize = 12;

/// Removes an instance. Other instances of the bot go on.
///
/// # Errors
/// Denied, not found.
pub async fn delete(auth: &Auth, caller: &Caller, bot: &str, instance: &str) -> Result<(), Error> {
    let guard = Guard::new(auth, caller, Operation::DeleteBotInstance);
    let found: BotInstance = guard.fetch_in(bot, instance, &[Verb::Delete]).await?;
    let event = BotInstanceDelete {
        resource: guard.resource(&found),
        user: caller.user_metadata(),
        connection: caller.connection(),
    };
    for _ in 1..RACES {
        match attempt(auth, &found, &event).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            settled => return settled,
        }
    }
    attempt(auth, &found, &event).await.map_err(unsettled)
}

async fn attempt(auth: &Auth, found: &BotInstance, event: &BotInstanceDelete) -> Result<(), Error> {
    let change = auth.store.change().delete_in::<BotInstance>(found.group(), &found.metadata.name);
    bury(auth, change, found).await?.event(event).commit().await.map(|_| ())
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
            change = change.delete_if_present::<BotInstance>(instance.group(), &instance.metadata.name);
            change = bury(auth, change, instance).await?;
        }
        match change.commit().await {
            // A request of one of them was answered meanwhile: look again. Without their bot they cannot renew for ever.
            Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
            _ => {}
        }
    }
}

/// Adds the tombstone, which lives as long as any certificate of the instance can renew.
async fn bury(auth: &Auth, change: Change, instance: &BotInstance) -> Result<Change, Error> {
    let (now, grace) = (auth.clock.now(), auth.config.bot_renewal_grace);
    let name = &instance.metadata.name;
    let kept = records::lineage(&auth.store, name).await?;
    let until = kept.as_ref().map(|kept| kept.lineage.expires(grace));
    let until = until.max(instance.metadata.expires).unwrap_or_else(|| longest(now, grace));
    let change = match kept.as_ref().and_then(|kept| kept.lineage.join.as_ref()) {
        Some(token) => records::drop_join_answer(change, token),
        None => change,
    };
    records::bury(change, name, kept.map(|kept| kept.revision), now, until)
}

/// The end of an instance of which nothing is known.
fn longest(now: Timestamp, grace: std::time::Duration) -> Timestamp {
    let life = domain::resources::bot::DEFAULT_MAX_SESSION_TTL.saturating_add(grace);
    now.saturating_add(life).unwrap_or(Timestamp::MAX)
}
