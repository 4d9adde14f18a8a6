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
use crypto::PublicKey;
use domain::{
    Error,
    error::Reason,
    identity::Identity,
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

/// What a bot that asks for a certificate brings along.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) tls_key: &'a PublicKey,
    pub(crate) ssh_key: &'a PublicKey,
    /// The hash of the name of the token that it joined with.
    pub(crate) join_token_hash: &'a str,
}

/// Gives a decided answer once more: the count is committed, then the same generation is signed with the decided end.
pub(crate) async fn answer_again(
    auth: &Auth,
    caller: &Caller,
    mut change: Change,
    bot: &Bot,
    instance: &str,
    next: Lineage,
    asker: Asker<'_>,
) -> Result<Issued, Error> {
    let now = auth.clock.now();
    records::refuse_deleted(&mut change, instance).await?;
    let user = change.fetch::<User>(&bot.status.user_name).await?;
    let document = change.read_in::<BotInstance>(&bot.metadata.name, instance).await?;
    let attributes = document.as_ref().and_then(|document| document.status.initial_authentication.clone()?.join_attrs);
    let identity = Identity {
        join_token_hash: asker.join_token_hash.to_owned(),
        ..bot_identity(auth, &user, bot, instance, next.generation, attributes, next.not_after)
    };
    let pair = auth.prepare(identity, Some(asker.tls_key), Some(asker.ssh_key), now, next.not_after)?;
    auth.refuse_locked(&pair.identity)?;
    let until = next.expires(auth.config.bot_renewal_grace);
    let change = extend_document(put_again(change, bot, instance, &next, until)?, document, until)?;
    let repeated = repeated(caller, bot, instance, &next, false);
    change.event(&repeated).event(&certificate_event(&pair, caller)).commit().await?;
    auth.sign(pair).await
}

/// Refuses a question that was asked again too often. `unnoted` is there when this pause has not been recorded yet.
pub(crate) async fn too_often(
    auth: &Auth,
    caller: &Caller,
    change: Change,
    bot: &Bot,
    instance: &str,
    unnoted: Option<Lineage>,
) -> Result<Issued, Error> {
    if let Some(next) = unnoted {
        let until = next.expires(auth.config.bot_renewal_grace);
        let change = put_again(change, bot, instance, &next, until)?;
        change.event(&repeated(caller, bot, instance, &next, true)).commit().await?;
    }
    Err(Error::limit("this question was answered many times already; ask again in 10 minutes")
        .because(Reason::TooManyRepeats))
}

/// Keeps what a repeat, or its refusal, changed; the way from the token to it lives as long.
fn put_again(
    change: Change,
    bot: &Bot,
    instance: &str,
    next: &Lineage,
    until: clock::Timestamp,
) -> Result<Change, Error> {
    let change = records::put_lineage(change, instance, next, until)?;
    let Some(token) = &next.join else { return Ok(change) };
    let answer = records::JoinAnswer { bot: bot.metadata.name.clone(), instance: instance.to_owned() };
    records::put_join_answer(change, token, &answer, until)
}

fn repeated(caller: &Caller, bot: &Bot, instance: &str, next: &Lineage, limited: bool) -> RenewalRepeated {
    RenewalRepeated {
        user: instance_user(bot, instance),
        connection: ConnectionMetadata::from_remote(caller.remote()),
        generation: next.generation.into(),
        repeats: next.pending.as_ref().map_or(0, |pending| pending.repeats),
        limited,
    }
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
fn extend_document(change: Change, document: Option<BotInstance>, until: clock::Timestamp) -> Result<Change, Error> {
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
pub(crate) async fn note_arrival(auth: &Auth, caller: &Caller, mut change: Change) -> Result<Change, Error> {
    let identity = caller.identity();
    if !identity.renewable || identity.bot_instance_id.is_empty() || caller.has_arrived() {
        return Ok(change);
    }
    let Some(lineage) = records::lineage(&mut change, &identity.bot_instance_id).await? else { return Ok(change) };
    let generation = u32::try_from(identity.generation).unwrap_or(u32::MAX);
    let Some(next) = lineage.arrived(generation) else {
        // Only a renewal makes an answer pending, and it makes one for the next generation.
        if lineage.generation == generation {
            caller.note_arrived();
        }
        return Ok(change);
    };
    let until = next.expires(auth.config.bot_renewal_grace);
    let change = match &lineage.join {
        Some(token) => records::drop_join_answer(change, token),
        None => change,
    };
    records::put_lineage(change, &identity.bot_instance_id, &next, until)
}
