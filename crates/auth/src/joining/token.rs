//! Join method `token`: the name of the token is the secret, and a bot's token is spent by its first use.
//!
//! The token goes in the same commit that records the instance, its generation and the answer that the machine may have
//! to ask for again; only then is anything signed.

use std::time::Duration;

use audit::{ConnectionMetadata, Status, events::join::BotJoin};
use clock::Timestamp;
use domain::{
    Error,
    error::Kind as ErrorKind,
    resources::{
        Bot, BotInstance, Token, User,
        bot_instance::{Authentication, BotInstanceSpec, BotInstanceStatus, JoinAttrs, JoinAttrsMeta},
        token::JoinMethod,
    },
    role::SystemRole,
};

use super::{DEFAULT_TTL, JoinRequest};
use crate::{
    Auth, Caller,
    certificates::{Issued, bot_identity, certificate_event},
    instances::{
        Keys,
        lineage::{Digest, Lineage, Verdict},
        records::{self, JoinAnswer},
    },
};

/// What every join that fails for lack of a right token is told: nothing about which tokens exist.
const UNKNOWN_TOKEN: &str = "token expired or not found";

/// Joins a bot with a one-time token.
///
/// # Errors
/// Denied when the token is unknown, expired, spent or for something else; unsupported for what cannot join yet;
/// unavailable when the outcome of the commit is not known (asking again with the same keys is right).
pub async fn join(auth: &Auth, caller: &Caller, request: JoinRequest) -> Result<Issued, Error> {
    let result = attempt(auth, caller, &request).await;
    if let Err(error) = &result
        && let Some(reason) = reason(error.kind())
    {
        auth.failed_join(caller, reason);
    }
    result
}

/// The reason under which a failure is counted: words of ours, nothing that a stranger chose.
fn reason(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Denied => Some(UNKNOWN_TOKEN),
        ErrorKind::Unsupported => Some("join method or role is not supported yet"),
        ErrorKind::Invalid => Some("malformed request"),
        _ => None,
    }
}

async fn attempt(auth: &Auth, caller: &Caller, request: &JoinRequest) -> Result<Issued, Error> {
    let name = request.token.expose();
    let keys = Digest::of(&request.tls_key.spki_der(), &request.ssh_key.ssh_wire());
    let hash = records::token_hash(name);
    if let Some(answer) = records::join_answer(&auth.store, &hash).await? {
        return repeat(auth, caller, request, keys, answer).await;
    }
    let token =
        auth.store.get::<Token>(name).await?.filter(|token| same(token.metadata.name.as_bytes(), name.as_bytes()));
    let token = token.ok_or_else(|| Error::denied(UNKNOWN_TOKEN))?;
    check(auth, &token, request).await?;
    let bot = auth.store.get::<Bot>(&token.spec.bot_name).await?;
    let bot = bot.ok_or_else(|| Error::denied("the bot of this token does not exist any more"))?;
    first_certificate(auth, caller, request, keys, hash, &token, &bot).await
}

/// Whether the token may be used for this join.
async fn check(auth: &Auth, token: &Token, request: &JoinRequest) -> Result<(), Error> {
    if token.spec.join_method != JoinMethod::Token {
        return Err(Error::unsupported(format!(
            "join method {:?} is not supported yet",
            token.spec.join_method.as_str()
        )));
    }
    if !token.spec.roles.contains(&request.role) {
        return Err(Error::denied(UNKNOWN_TOKEN));
    }
    if request.role != SystemRole::Bot {
        return Err(Error::unsupported(format!("joining as {} is not supported yet", request.role.as_str())));
    }
    if token.is_single_use() && auth.rollback().predates(&auth.store, token).await? {
        return Err(Error::denied("this token was made before a restore of the cluster; make a new one"));
    }
    Ok(())
}

async fn first_certificate(
    auth: &Auth,
    caller: &Caller,
    request: &JoinRequest,
    keys: Digest,
    hash: String,
    token: &Token,
    bot: &Bot,
) -> Result<Issued, Error> {
    let now = auth.clock.now();
    let instance = auth.random.uuid().to_string();
    let not_after = not_after(bot, request.expires, now);
    let attributes = JoinAttrs {
        meta: Some(JoinAttrsMeta { join_method: "token".into(), ..Default::default() }),
        ..Default::default()
    };
    let lineage = Lineage::first(bot.metadata.name.clone(), keys, not_after, Some(hash.clone()));
    let until = lineage.expires(auth.config.bot_renewal_grace);
    let user = auth.store.fetch::<User>(&bot.status.user_name).await?;
    let identity = bot_identity(auth, &user, bot, &instance, 1, Some(attributes.clone()), not_after);
    let pair = auth.prepare(identity, Some(&request.tls_key), Some(&request.ssh_key), now, not_after)?;
    auth.refuse_locked(&pair.identity, Some(&token.metadata.name))?;

    let authentication = Authentication {
        authenticated_at: Some(now),
        join_method: "token".into(),
        join_token: token.safe_name(),
        generation: 1,
        public_key: request.tls_key.to_pem().into_bytes().into(),
        join_attrs: Some(attributes),
        ..Default::default()
    };
    let document = instance_document(bot, &instance, authentication, until);
    let mut change = auth.store.change().create(&document)?.require_exists::<Bot>(&bot.metadata.name);
    if token.is_single_use() {
        change = change.delete_exactly(token)?;
    }
    change = records::put_lineage(change, &instance, &lineage, None, until)?;
    let answer = JoinAnswer { bot: bot.metadata.name.clone(), instance: instance.clone() };
    change = records::put_join_answer(change, &hash, &answer, until)?;
    let joined = BotJoin {
        status: Status::succeeded(),
        connection: ConnectionMetadata::from_remote(caller.remote()),
        bot_name: bot.metadata.name.clone(),
        method: "token".into(),
        token_name: token.safe_name(),
        user_name: user.metadata.name.clone(),
        bot_instance_id: instance,
        ..Default::default()
    };
    let change = change.event(&joined).event(&certificate_event(&pair, caller));
    match change.commit().await {
        Ok(_) => auth.sign(pair).await,
        // Somebody else was faster with this token: the same machine over a second connection, or another one.
        Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {
            match records::join_answer(&auth.store, &hash).await? {
                Some(answer) => repeat(auth, caller, request, keys, answer).await,
                None => Err(Error::denied(UNKNOWN_TOKEN)),
            }
        }
        Err(error) => Err(error),
    }
}

/// The token is spent; the machine that spent it may ask again with its keys.
async fn repeat(
    auth: &Auth,
    caller: &Caller,
    request: &JoinRequest,
    keys: Digest,
    answer: JoinAnswer,
) -> Result<Issued, Error> {
    let now = auth.clock.now();
    let kept = records::lineage(&auth.store, &answer.instance).await?.ok_or_else(|| Error::denied(UNKNOWN_TOKEN))?;
    let bot = auth.store.get::<Bot>(&answer.bot).await?.ok_or_else(|| Error::denied(UNKNOWN_TOKEN))?;
    let end = not_after(&bot, request.expires, now);
    match kept.lineage.repeat(keys, end, auth.config.bot_renewal_grace, now) {
        Some(Verdict::Repeat(next)) => crate::instances::answer_again(
            auth,
            caller,
            &bot,
            &answer.instance,
            &kept,
            next,
            Keys { tls: &request.tls_key, ssh: &request.ssh_key },
        )
        .await
        .map_err(crate::instances::unsettled),
        Some(Verdict::Limit) => Err(crate::instances::too_often(caller, &kept.lineage, &answer.instance)),
        _ => Err(Error::denied(UNKNOWN_TOKEN)),
    }
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

fn same(a: &[u8], b: &[u8]) -> bool {
    crypto::constant_time_eq(a, b)
}
