//! A bot renews its identity with the certificate that it has: by generation, repeatably, and through the grace.

use audit::{
    ConnectionMetadata,
    events::{
        bot::{RenewedInGrace, RollbackTolerated},
        cert::RenewableCertificateGenerationMismatch,
        lock::LockCreate,
    },
};
use clock::Timestamp;
use crypto::PublicKey;
use domain::{
    Error,
    error::Reason,
    identity::Identity,
    resources::{
        Bot, BotInstance, Lock, User,
        bot_instance::{Authentication, LATEST_RECORDS},
        lock::{LockSpec, LockTarget},
    },
};
use store::{Change, settle};

use super::{
    Asker, answer_again, instance_user,
    lineage::{Digest, Lineage, Question, Verdict},
    records, too_often,
};
use crate::{
    Auth, Caller,
    certificates::{Issued, bot_identity, certificate_event},
    joining::{instance_document, not_after},
    rollback,
};

/// What a bot asks with when it renews.
#[derive(Debug)]
pub struct Renewal<'a> {
    /// What the presented certificate says.
    pub identity: &'a Identity,
    /// When the presented certificate was issued.
    pub presented_from: Timestamp,
    /// When it ends, or ended.
    pub presented_until: Timestamp,
    /// The new X.509 key.
    pub tls_key: &'a PublicKey,
    /// The new SSH key.
    pub ssh_key: &'a PublicKey,
    /// When the new certificates are to end.
    pub expires: Option<Timestamp>,
    /// Whether the presented certificate has expired and the grace is asked for.
    pub in_grace: bool,
}

/// Renews a bot's own identity.
///
/// # Errors
/// Denied for a copy (the instance is locked then), a deleted or locked instance, a bot that is gone; limit for a lost
/// answer that is asked for too often; unavailable when asking again with the same keys is right.
pub async fn renew(auth: &Auth, caller: &Caller, renewal: Renewal<'_>) -> Result<Issued, Error> {
    settle(|| attempt(auth, caller, &renewal)).await
}

async fn attempt(auth: &Auth, caller: &Caller, renewal: &Renewal<'_>) -> Result<Issued, Error> {
    let now = auth.clock.now();
    let identity = renewal.identity;
    let instance = identity.bot_instance_id.as_str();
    let mut change = auth.store.change();
    let bot = change.read::<Bot>(&identity.bot_name).await?.ok_or_else(|| {
        Error::denied(format!("access denied: bot {:?} does not exist", identity.bot_name)).because(Reason::UnknownBot)
    })?;
    records::refuse_deleted(&mut change, instance).await?;
    let presented = u32::try_from(identity.generation).unwrap_or(u32::MAX);
    let question = Question {
        presented,
        keys: Digest::of(&renewal.tls_key.spki_der(), &renewal.ssh_key.ssh_wire()),
        not_after: not_after(&bot, renewal.expires, now),
    };
    let grace = auth.config.bot_renewal_grace;
    let Some(stored) = records::lineage(&mut change, instance).await? else {
        // No record and no tombstone, and the bot exists: the store is older than the bot.
        let lineage = Lineage::recreated(bot.metadata.name.clone(), presented, renewal.presented_until);
        let Verdict::Renew(next) = lineage.renew(question, grace, now) else {
            return Err(Error::internal("a recreated lineage must renew"));
        };
        let step = Step { next, ahead_of: Some(None) };
        return advance(auth, caller, renewal, change, &bot, step).await;
    };
    match stored.renew(question, grace, now) {
        Verdict::Renew(next) => advance(auth, caller, renewal, change, &bot, Step { next, ahead_of: None }).await,
        Verdict::RolledBack(next) => {
            let step = Step { next, ahead_of: Some(Some(stored.generation)) };
            advance(auth, caller, renewal, change, &bot, step).await
        }
        Verdict::Repeat(next) => {
            let (tls_key, ssh_key) = (renewal.tls_key, renewal.ssh_key);
            let asker = Asker { tls_key, ssh_key, join_token_hash: &identity.join_token_hash };
            answer_again(auth, caller, change, &bot, instance, next, asker).await
        }
        Verdict::Limit(unnoted) => too_often(auth, caller, change, &bot, instance, unnoted).await,
        Verdict::Mismatch { stored, presented } => {
            mismatch(auth, caller, change, &bot, instance, stored, presented).await
        }
    }
}

/// From one generation to the next.
struct Step {
    next: Lineage,
    /// The generation in the store, none without a record, when the bot is ahead of it.
    ahead_of: Option<Option<u32>>,
}

/// Commits the next generation, then signs it.
async fn advance(
    auth: &Auth,
    caller: &Caller,
    renewal: &Renewal<'_>,
    mut change: Change,
    bot: &Bot,
    step: Step,
) -> Result<Issued, Error> {
    let (now, Step { next, ahead_of }) = (auth.clock.now(), step);
    let instance = renewal.identity.bot_instance_id.as_str();
    let user = change.fetch::<User>(&bot.status.user_name).await?;
    let attributes = renewal.identity.join_attributes.clone();
    let identity = Identity {
        join_token_hash: renewal.identity.join_token_hash.clone(),
        ..bot_identity(auth, &user, bot, instance, next.generation, attributes, next.not_after)
    };
    let pair = auth.prepare(identity, Some(renewal.tls_key), Some(renewal.ssh_key), now, next.not_after)?;
    auth.refuse_locked(&pair.identity)?;

    let until = next.expires(auth.config.bot_renewal_grace);
    change = record_authentication(change, bot, renewal, &next, now, until).await?;
    if let Some(token) = &next.join {
        change = records::drop_join_answer(change, token);
    }
    change = records::put_lineage(change, instance, &Lineage { join: None, ..next.clone() }, until)?;
    change = change.event(&certificate_event(&pair, caller));
    if renewal.in_grace {
        change = change.event(&RenewedInGrace {
            user: instance_user(bot, instance),
            connection: ConnectionMetadata::from_remote(caller.remote()),
            generation: next.generation.into(),
            expired_at: Some(renewal.presented_until),
        });
    }
    if let Some(stored) = ahead_of {
        tracing::warn!(
            bot = bot.metadata.name,
            instance,
            ?stored,
            "a bot is ahead of the store: the store was rolled back"
        );
        change = change.event(&RollbackTolerated {
            user: instance_user(bot, instance),
            connection: ConnectionMetadata::from_remote(caller.remote()),
            stored_generation: stored.unwrap_or(0).into(),
            presented_generation: renewal.identity.generation,
            recreated: stored.is_none(),
        });
        change = rollback::note_shown(change, renewal.presented_from, now).await?;
    }
    change.commit().await?;
    auth.sign(pair).await
}

/// Adds the renewal to the public document, or makes the document anew when the store has lost it.
async fn record_authentication(
    mut change: Change,
    bot: &Bot,
    renewal: &Renewal<'_>,
    next: &Lineage,
    now: Timestamp,
    until: Timestamp,
) -> Result<Change, Error> {
    let instance = renewal.identity.bot_instance_id.as_str();
    let attributes = renewal.identity.join_attributes.clone();
    let meta = attributes.as_ref().and_then(|attributes| attributes.meta.as_ref());
    let authentication = Authentication {
        authenticated_at: Some(now),
        join_method: meta.map(|meta| meta.join_method.clone()).unwrap_or_default(),
        generation: i32::try_from(next.generation).unwrap_or(i32::MAX),
        public_key: renewal.tls_key.to_pem().into_bytes().into(),
        join_attrs: attributes,
        ..Default::default()
    };
    match change.read_stored::<BotInstance>(&bot.metadata.name, instance).await? {
        Some(mut stored) => {
            let latest = &mut stored.value.status.latest_authentications;
            latest.push(authentication);
            let excess = latest.len().saturating_sub(LATEST_RECORDS);
            latest.drain(..excess);
            stored.value.metadata.expires = Some(until);
            change.replace(stored)
        }
        None => change.create(&instance_document(bot, instance, authentication, until)),
    }
}

/// A copy of the bot's storage exists: the instance is locked, never the whole bot.
async fn mismatch(
    auth: &Auth,
    caller: &Caller,
    change: Change,
    bot: &Bot,
    instance: &str,
    stored: u32,
    presented: u32,
) -> Result<Issued, Error> {
    let now = auth.clock.now();
    let message = format!("renewable cert generation mismatch: stored={stored}, presented={presented}");
    let target = LockTarget { bot_instance_id: instance.to_owned(), ..LockTarget::default() };
    let spec = LockSpec {
        target,
        message: format!(
            "The bot instance {}/{instance} has been locked due to a certificate generation mismatch, possibly indicating \
             a stolen certificate.",
            bot.metadata.name
        ),
        created_at: Some(now),
        created_by: auth.host_name(),
        ..LockSpec::default()
    };
    // One lock for an instance, however often the copy comes back.
    let lock = Lock::new(format!("generation-{instance}"), spec);
    let seen = RenewableCertificateGenerationMismatch {
        user: instance_user(bot, instance),
        connection: ConnectionMetadata::from_remote(caller.remote()),
        stored_generation: stored.into(),
        presented_generation: presented.into(),
        lock: lock.metadata.name.clone(),
    };
    let locked = LockCreate { user: instance_user(bot, instance), ..crate::locks::created(auth, &lock) };
    change.upsert(&lock)?.event(&seen).event(&locked).commit().await?;
    Err(Error::denied(message).because(Reason::GenerationMismatch))
}
