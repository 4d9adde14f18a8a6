//! A link with which a person sets a password: the invitation of a new user, or the reset of a known one.
//!
//! The link is recorded with its end; the proxy's page behind it cannot set a password yet.

use std::time::Duration;

use audit::{ResourceMetadata, events::token::UserTokenCreate};
use clock::Timestamp;
use crypto::SecretString;
use domain::{Error, Resource as _, resources::User};
use rbac::Verb;
use serde::{Deserialize, Serialize};
use storage::Key;

use super::refuse_of_bot;
use crate::{Auth, Caller, Operation, guard::Guard, proxies};

const USER_TOKEN: &str = "tessera_user_token";

/// Random bytes of a link: whoever has it is the user.
const TOKEN_BYTES: usize = 16;

const HOUR: u64 = 3600;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The first password of a new user.
    Invite,
    /// Another password, and other second factors.
    Reset,
}

impl Purpose {
    /// The word for it in requests and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Reset => "password",
        }
    }

    /// Reads the word; none means a reset.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "invite" => Some(Self::Invite),
            "" | "password" => Some(Self::Reset),
            _ => None,
        }
    }

    /// How long a link is good: when nothing is said, and at most. A link that lies about is a password that lies about.
    const fn lives(self) -> (Duration, Duration) {
        match self {
            Self::Invite => (Duration::from_secs(HOUR), Duration::from_secs(48 * HOUR)),
            Self::Reset => (Duration::from_secs(8 * HOUR), Duration::from_secs(24 * HOUR)),
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Reset => "reset",
        }
    }
}

/// A link that was made.
#[derive(Debug)]
pub struct Invitation {
    /// The secret in the link.
    pub token: SecretString,
    /// Whose it is.
    pub user: String,
    /// The whole link.
    pub url: SecretString,
    /// What it is for.
    pub purpose: Purpose,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// What is stored, under the hash of the secret.
#[derive(Serialize, Deserialize)]
struct Record {
    user: String,
    purpose: String,
    created: Timestamp,
}

/// Makes a link for a user that exists. `life` of none or zero means the usual one.
///
/// # Errors
/// Denied, not found; invalid for a bot's user or a link that would live too long.
pub async fn invite(
    auth: &Auth,
    caller: &Caller,
    user: &str,
    purpose: Purpose,
    life: Option<Duration>,
) -> Result<Invitation, Error> {
    let guard = Guard::new(auth, caller, Operation::CreateUserToken);
    let user: User = guard.fetch(user, &[Verb::Update]).await?;
    refuse_of_bot(&user)?;
    let (usual, most) = purpose.lives();
    let life = life.filter(|life| !life.is_zero()).unwrap_or(usual);
    if life > most {
        return Err(Error::invalid(format!("ttl: a link may live {} hours at most", most.as_secs() / HOUR)));
    }
    let created = auth.clock.now();
    let expires = created.saturating_add(life).unwrap_or(Timestamp::MAX);
    let token = auth.random.hex(TOKEN_BYTES);
    let record =
        serde_json::to_vec(&Record { user: user.name().to_owned(), purpose: purpose.as_str().to_owned(), created })
            .map_err(|error| crate::failure::internal("a record cannot be written", error))?;
    let event = UserTokenCreate {
        resource: ResourceMetadata {
            ttl: domain::form::duration::format(life),
            ..ResourceMetadata::new(user.name(), Some(expires), caller.name())
        },
        user: caller.user_metadata(),
        connection: caller.connection(),
    };
    let key = key(&token);
    let change = auth.store.change().require_exists::<User>(user.name()).put_record(key, record, Some(expires));
    change.event(&event).commit().await?;
    Invitation::new(auth, token, user.metadata.name, purpose, (created, expires)).await
}

/// The link that `token` is the secret of. Whoever has it is the user, so nothing else is asked for but a certificate: the
/// page behind the link asks for somebody who has none.
///
/// # Errors
/// Denied to strangers. Not found when it never was, has ended, or was made for an earlier user of that name.
pub async fn invitation(auth: &Auth, caller: &Caller, token: &str) -> Result<Invitation, Error> {
    if caller.is_anonymous() {
        return Err(Error::denied("access denied"));
    }
    let gone = || Error::not_found("this link does not exist, or has ended: ask for another one");
    let item = auth.store.record(&key(token)).await?.ok_or_else(gone)?;
    let record: Record = serde_json::from_slice(&item.value)
        .map_err(|error| crate::failure::internal("a stored record cannot be read", error))?;
    let user = auth.store.get::<User>(&record.user).await?.ok_or_else(gone)?;
    if user.spec.created_by.time.is_some_and(|made| made > record.created) {
        return Err(gone());
    }
    let purpose = Purpose::parse(&record.purpose).ok_or_else(gone)?;
    let end = item.expires.unwrap_or(Timestamp::MAX);
    Invitation::new(auth, token.to_owned(), record.user, purpose, (record.created, end)).await
}

fn key(token: &str) -> Key {
    Key::new(USER_TOKEN, crypto::hash::sha256_hex(token.as_bytes()))
}

impl Invitation {
    async fn new(
        auth: &Auth,
        token: String,
        user: String,
        purpose: Purpose,
        (created, expires): (Timestamp, Timestamp),
    ) -> Result<Self, Error> {
        // A cluster without a proxy has nobody who answers; its name is where one is expected.
        let proxy = proxies::public_address(auth).await?.unwrap_or_else(|| auth.cluster().to_owned());
        let host = proxy.strip_suffix(":443").unwrap_or(&proxy);
        let url = format!("https://{host}/web/{}/{token}", purpose.path());
        Ok(Self { token: SecretString::new(token), user, url: SecretString::new(url), purpose, created, expires })
    }
}
