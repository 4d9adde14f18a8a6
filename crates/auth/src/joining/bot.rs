//! A bot joins: its first instance, and the answer that it may have to ask for again.
//!
//! A token that is good once goes in the same commit that records the instance, its generation and the answer; only then
//! is anything signed.

use std::time::Duration;

use audit::{ConnectionMetadata, Status, events::join::BotJoin};
use clock::Timestamp;
use domain::{
    Error,
    error::Reason,
    identity::Identity,
    resources::{
        Bot, BotInstance, Token, User,
        bot_instance::{Authentication, BotInstanceSpec, BotInstanceStatus},
    },
    role::SystemRole,
};
use join::Attested;
use store::Change;

use super::{DEFAULT_TTL, JoinRequest};
use crate::{
    Auth, Caller,
    certificates::{Issued, bot_identity, certificate_event},
    instances::{
        self, Asker,
        lineage::{Digest, Lineage, Verdict},
        records::{self, JoinAnswer},
    },
    rollback,
};

/// What every join that fails for lack of a right token is told: nothing about which tokens exist.
fn refused(reason: Reason) -> Error {
    Error::denied("token expired or not found").because(reason)
}

pub(super) async fn join(auth: &Auth, caller: &Caller, request: &JoinRequest) -> Result<Issued, Error> {
    let name = request.proof.token().expose();
    let hash = records::token_hash(name);
    let mut change = auth.store.change();
    if let Some(answer) = records::join_answer(&mut change, &hash).await? {
        return repeat(auth, caller, request, change, &answer).await;
    }
    let token = change.read::<Token>(name).await?.ok_or_else(|| refused(Reason::TokenUnknown))?;
    let attested = join::verifier(token.spec.join_method)?.verify(&token, &request.proof).await.map_err(|why| {
        tracing::info!(token = token.safe_name(), remote = caller.remote(), %why, "a join was refused");
        refused(Reason::TokenUnknown)
    })?;
    check(&mut change, &token).await?;
    let bot = change
        .read::<Bot>(&token.spec.bot_name)
        .await?
        .ok_or_else(|| Error::denied("the bot of this token does not exist any more").because(Reason::UnknownBot))?;
    first_certificate(auth, caller, request, change, First { token, bot, attested, hash }).await
}

/// Whether the token is good for this, whatever was proved.
async fn check(change: &mut Change, token: &Token) -> Result<(), Error> {
    if !token.spec.roles.contains(&SystemRole::Bot) {
        return Err(refused(Reason::TokenRole));
    }
    if token.is_single_use() && rollback::predates(change, token).await? {
        return Err(Error::denied("this token was made before a restore of the cluster; make a new one")
            .because(Reason::TokenBeforeRestore));
    }
    Ok(())
}

/// What a first certificate is made from.
struct First {
    token: Token,
    bot: Bot,
    attested: Attested,
    /// The hash of the token's name.
    hash: String,
}

async fn first_certificate(
    auth: &Auth,
    caller: &Caller,
    request: &JoinRequest,
    mut change: Change,
    first: First,
) -> Result<Issued, Error> {
    let First { token, bot, attested, hash } = first;
    let now = auth.clock.now();
    let instance = auth.random.uuid().to_string();
    let not_after = not_after(&bot, request.expires, now);
    // A token that others join with too is no way to the answer of this one; it can be joined with again.
    let answer = token.is_single_use().then(|| hash.clone());
    let lineage = Lineage::first(bot.metadata.name.clone(), keys(request), not_after, answer.clone());
    let until = lineage.expires(auth.config.bot_renewal_grace);
    let user = change.fetch::<User>(&bot.status.user_name).await?;
    let attributes = Some(attested.attributes().clone());
    let identity =
        Identity { join_token_hash: hash, ..bot_identity(auth, &user, &bot, &instance, 1, attributes, not_after) };
    let pair = auth.prepare(identity, Some(&request.tls_key), Some(&request.ssh_key), now, not_after)?;
    auth.refuse_locked(&pair.identity)?;

    let method = attested.method().as_str().to_owned();
    let authentication = Authentication {
        authenticated_at: Some(now),
        join_method: method.clone(),
        join_token: token.safe_name(),
        generation: 1,
        public_key: request.tls_key.to_pem().into_bytes().into(),
        join_attrs: Some(attested.attributes().clone()),
        ..Default::default()
    };
    change = change.create(&instance_document(&bot, &instance, authentication, until))?;
    if token.is_single_use() {
        change = change.delete_exactly(&token)?;
    }
    change = records::put_lineage(change, &instance, &lineage, until)?;
    if let Some(hash) = answer {
        let answer = JoinAnswer { bot: bot.metadata.name.clone(), instance: instance.clone() };
        change = records::put_join_answer(change, &hash, &answer, until)?;
    }
    let joined = BotJoin {
        status: Status::succeeded(),
        connection: ConnectionMetadata::from_remote(caller.remote()),
        bot_name: bot.metadata.name,
        method,
        token_name: token.safe_name(),
        user_name: user.metadata.name,
        bot_instance_id: instance,
        ..Default::default()
    };
    change.event(&joined).event(&certificate_event(&pair, caller)).commit().await?;
    auth.sign(pair).await
}

/// The token is spent; the machine that spent it may ask again with its keys.
async fn repeat(
    auth: &Auth,
    caller: &Caller,
    request: &JoinRequest,
    mut change: Change,
    answer: &JoinAnswer,
) -> Result<Issued, Error> {
    let now = auth.clock.now();
    let (bot, instance) = (&answer.bot, &answer.instance);
    let spent = || refused(Reason::TokenSpent);
    let lineage = records::lineage(&mut change, instance).await?.ok_or_else(spent)?;
    let bot = change.read::<Bot>(bot).await?.ok_or_else(spent)?;
    let end = not_after(&bot, request.expires, now);
    match lineage.repeat(keys(request), end, auth.config.bot_renewal_grace, now) {
        Some(Verdict::Repeat(next)) => {
            let token = records::token_hash(request.proof.token().expose());
            let asker = Asker { tls_key: &request.tls_key, ssh_key: &request.ssh_key, join_token_hash: &token };
            instances::answer_again(auth, caller, change, &bot, instance, next, asker).await
        }
        Some(Verdict::Limit(unnoted)) => instances::too_often(auth, caller, change, &bot, instance, unnoted).await,
        _ => Err(spent()),
    }
}

fn keys(request: &JoinRequest) -> Digest {
    Digest::of(&request.tls_key.spki_der(), &request.ssh_key.ssh_wire())
}

/// The end of a bot's certificate: what it asks for, at most what its role allows.
pub(crate) fn not_after(bot: &Bot, asked: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let limit = bot.spec.max_session_ttl.unwrap_or(domain::resources::bot::DEFAULT_MAX_SESSION_TTL);
    let longest = after(now, limit);
    match asked {
        Some(asked) if asked > now => asked.min(longest),
        _ => after(now, DEFAULT_TTL).min(longest),
    }
}

fn after(now: Timestamp, span: Duration) -> Timestamp {
    now.saturating_add(span).unwrap_or(Timestamp::MAX)
}

/// The public document of an instance.
pub(crate) fn instance_document(bot: &Bot, instance: &str, first: Authentication, until: Timestamp) -> BotInstance {
    let spec =
        BotInstanceSpec { bot_name: bot.metadata.name.clone(), instance_id: instance.to_owned(), ..Default::default() };
    let mut document = BotInstance::new(instance, spec);
    document.metadata.expires = Some(until);
    document.status = BotInstanceStatus {
        initial_authentication: Some(first.clone()),
        latest_authentications: vec![first],
        ..Default::default()
    };
    document
}
