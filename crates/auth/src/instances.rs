//! Bot instances: what decides about their renewals, where it is kept, and the renewals themselves.

mod delete;
mod get;
pub mod grace;
mod heartbeat;
pub mod lineage;
mod list;
pub(crate) mod records;
pub mod renew;

use audit::{ConnectionMetadata, UserMetadata, events::bot::RenewalRepeated};
use clock::Timestamp;
use crypto::PublicKey;
use domain::{
    Error,
    error::Kind as ErrorKind,
    resources::{Bot, BotInstance, User},
};
use store::Change;

use crate::{
    Auth, Caller,
    certificates::{Issued, bot_identity, certificate_event},
};
pub(crate) use delete::bury_all;
pub use delete::delete;
pub use get::get;
pub use heartbeat::heartbeat;
use lineage::Lineage;
pub use list::{Filter, Sort, SortBy, list};
use records::Kept;

/// How often a request looks again after another request of the same instance came between: a heartbeat, an output and a
/// renewal may well meet.
pub(crate) const RACES: usize = 5;

/// What is left of a race after [`RACES`] attempts: asking again is right.
pub(crate) fn unsettled(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Conflict => Error::unavailable("this bot instance is asking many things at once; try again"),
        _ => error,
    }
}

/// The keys that new certificates are to carry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub(crate) tls: &'a PublicKey,
    pub(crate) ssh: &'a PublicKey,
}

/// Gives a decided answer once more: the count is committed, then the same generation is signed with the decided end.
pub(crate) async fn answer_again(
    auth: &Auth,
    caller: &Caller,
    bot: &Bot,
    instance: &str,
    kept: &Kept,
    next: Lineage,
    keys: Keys<'_>,
) -> Result<Issued, Error> {
    let now = auth.clock.now();
    let user = auth.store.fetch::<User>(&bot.status.user_name).await?;
    let document = auth.store.get_in::<BotInstance>(&bot.metadata.name, instance).await?;
    let attributes = document.as_ref().and_then(|document| document.status.initial_authentication.clone()?.join_attrs);
    let identity = bot_identity(auth, &user, bot, instance, next.generation, attributes, next.not_after);
    let pair = auth.prepare(identity, Some(keys.tls), Some(keys.ssh), now, next.not_after)?;
    auth.refuse_locked(&pair.identity, None)?;
    if records::is_deleted(&auth.store, instance).await? {
        return Err(Error::denied("this bot instance was deleted; it needs a new token: tctl bots instances add"));
    }
    let repeated = RenewalRepeated {
        user: instance_user(bot, instance),
        connection: ConnectionMetadata::from_remote(caller.remote()),
        generation: next.generation.into(),
        repeats: next.pending.as_ref().map_or(0, |pending| pending.repeats),
        limited: false,
    };
    let until = next.expires(auth.config.bot_renewal_grace);
    let change = auth.store.change().require_exists::<Bot>(&bot.metadata.name);
    let change = records::put_lineage(change, instance, &next, Some(kept.revision), until)?;
    let change = extend_document(change, document, until)?;
    let change = match &next.join {
        Some(token) => {
            let answer = records::JoinAnswer { bot: bot.metadata.name.clone(), instance: instance.to_owned() };
            records::put_join_answer(change, token, &answer, until)?
        }
        None => change,
    };
    change.event(&repeated).event(&certificate_event(&pair, caller)).commit().await?;
    auth.sign(pair).await
}

/// The refusal of a question that was asked again too often.
pub(crate) fn too_often(caller: &Caller, lineage: &Lineage, instance: &str) -> Error {
    tracing::warn!(bot = lineage.bot, instance, remote = caller.remote(), "a lost answer was asked for too often");
    Error::limit("this question was answered many times already; ask again in 10 minutes")
}

/// The part of an audit event that says which instance acted.
pub(crate) fn instance_user(bot: &Bot, instance: &str) -> UserMetadata {
    UserMetadata {
        user: bot.status.user_name.clone(),
        user_kind: audit::UserKind::Bot,
        bot_name: bot.metadata.name.clone(),
        bot_instance_id: instance.to_owned(),
        ..UserMetadata::default()
    }
}

/// Keeps the public document alive as long as the lineage.
fn extend_document(change: Change, document: Option<BotInstance>, until: Timestamp) -> Result<Change, Error> {
    match document {
        Some(mut document) if document.metadata.expires != Some(until) => {
            document.metadata.expires = Some(until);
            change.update(&document)
        }
        _ => Ok(change),
    }
}

/// Clears a pending answer once the credential that it carried is used for something that is committed.
///
/// Returns the change as it is when nothing was pending, which is the ordinary case after the first use.
pub(crate) async fn note_arrival(auth: &Auth, caller: &Caller, change: Change) -> Result<Change, Error> {
    let identity = caller.identity();
    if !identity.renewable || identity.bot_instance_id.is_empty() || caller.has_arrived() {
        return Ok(change);
    }
    let Some(kept) = records::lineage(&auth.store, &identity.bot_instance_id).await? else { return Ok(change) };
    let generation = u32::try_from(identity.generation).unwrap_or(u32::MAX);
    let Some(next) = kept.lineage.arrived(generation) else {
        // Only a renewal makes an answer pending, and it makes one for the next generation.
        if kept.lineage.generation == generation {
            caller.note_arrived();
        }
        return Ok(change);
    };
    let until = next.expires(auth.config.bot_renewal_grace);
    let change = match &kept.lineage.join {
        Some(token) => records::drop_join_answer(change, token),
        None => change,
    };
    records::put_lineage(change, &identity.bot_instance_id, &next, Some(kept.revision), until)
}
