//! What is stored about a session, where, and under which seal.

use std::fmt;

use audit::UserMetadata;
use clock::Timestamp;
use crypto::{Random, SecretBytes, aead, hash};
use domain::Error;
use serde::{Deserialize, Serialize};
use storage::{Item, Key, Prefix};
use store::Change;

use crate::{
    Auth,
    failure::{internal, storage_error},
};

const SESSION: &str = "tessera_app_session";

/// The way from a user to its sessions.
const OF_USER: &str = "tessera_app_session_of";

/// The way from whoever makes sessions to those that live: an instance of a bot, or a person.
const OF_MAKER: &str = "tessera_app_session_by";

/// How many sessions of one instance of a bot, or of one person, live at once; beyond it the oldest one ends. A bot that
/// renews has several for each application, of which it uses the newest; more than this would be some ten megabytes of
/// somebody who makes them for nothing.
pub const MOST_SESSIONS: usize = 500;

/// How many sessions one new one ends at most, when there are more than too many: within the bounds of a batch.
const ENDED_AT_ONCE: usize = 8;

/// How many of the oldest sessions those choose from who have lost the race for the oldest one.
const OLD: u32 = 32;

/// How many sessions of a user are looked at for the call that names none.
const MOST_WITH: usize = 1000;

/// Random bytes of an id: nobody finds one by trying.
const ID_BYTES: usize = 32;

/// Tells the key that seals a session's private key from everything else that is ever derived from an id.
const SEAL: &[u8] = b"tessera-app-session-seal-v1";

/// How many characters of the hash people see: 128 bits.
const SHOWN: usize = 32;

/// The id of a session: who has it and is a proxy can speak for the session, so it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(String);

impl SessionId {
    /// What a caller says is an id.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn generate(random: &Random) -> Self {
        Self(random.hex(ID_BYTES))
    }

    /// The id itself, for the certificate or the cookie.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What logs, tables and the audit log call the session.
    pub fn shown(&self) -> String {
        shown(&self.hash())
    }

    pub(crate) fn hash(&self) -> String {
        hash::sha256_hex(self.0.as_bytes())
    }

    fn seal(&self) -> aead::Key {
        aead::Key::new(&hash::hmac_sha256(self.0.as_bytes(), SEAL))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({})", self.shown())
    }
}

fn shown(hash: &str) -> String {
    hash.chars().take(SHOWN).collect()
}

/// Who may use a session. Neither is taken for the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// Who has the key of the certificate that it came with: SHA-256 of its SPKI.
    Key([u8; 32]),
    /// Who has the token of the cookie: SHA-256 of it.
    Bearer([u8; 32]),
}

/// A session as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// What it is called.
    pub sid: String,
    /// Whose it is.
    pub user: String,
    /// The application.
    pub app: String,
    /// When it began.
    pub created: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

/// A private key under a seal that only the id opens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sealed {
    nonce: Vec<u8>,
    ciphertext: Vec<u8>,
}

/// What is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(skip)]
    pub(crate) hash: String,
    pub(crate) user: String,
    /// The same as events say it.
    #[serde(default)]
    pub(crate) by: UserMetadata,
    pub(crate) app: String,
    #[serde(default)]
    pub(crate) app_uri: String,
    /// The host that serves the application, when there was one alone.
    #[serde(default)]
    pub(crate) server_id: String,
    pub(crate) public_addr: String,
    pub(crate) target_port: u16,
    pub(crate) holder: Holder,
    pub(crate) created: Timestamp,
    pub(crate) not_after: Timestamp,
    /// With the session's own key, which auth made: PEM.
    pub(crate) certificate: String,
    pub(super) key: Sealed,
}

impl Record {
    /// Whose sessions it counts among.
    fn maker(&self) -> String {
        maker(&self.user, &self.by)
    }

    /// What the session is called.
    pub(crate) fn sid(&self) -> String {
        shown(&self.hash)
    }

    /// As people see it.
    pub(crate) fn shown(&self) -> Shown {
        Shown {
            sid: self.sid(),
            user: self.user.clone(),
            app: self.app.clone(),
            created: self.created,
            not_after: self.not_after,
        }
    }

    /// The session's private key, PKCS#8.
    pub(super) fn open(&self, id: &SessionId) -> Result<SecretBytes, Error> {
        let unreadable = || Error::internal("the key of a session cannot be opened");
        let nonce = self.key.nonce.as_slice().try_into().map_err(|_| unreadable())?;
        id.seal().open(nonce, self.hash.as_bytes(), &self.key.ciphertext).map_err(|_| unreadable())
    }
}

pub(super) fn seal(random: &Random, id: &SessionId, pkcs8: &SecretBytes) -> Sealed {
    let (nonce, ciphertext) = id.seal().seal(random, id.hash().as_bytes(), pkcs8.expose());
    Sealed { nonce: nonce.to_vec(), ciphertext }
}

/// Reads a session that has not ended.
pub(super) async fn read(auth: &Auth, hash: &str) -> Result<Option<Record>, Error> {
    auth.store.record(&Key::new(SESSION, hash)).await?.map(|item| decode(&item)).transpose()
}

/// The same for a change: it happens only if the session is still there then.
pub(super) async fn read_for(change: &mut Change, hash: &str) -> Result<Option<Record>, Error> {
    change.read_record(Key::new(SESSION, hash)).await?.map(|item| decode(&item)).transpose()
}

/// Adds a new session to a change.
pub(super) fn put(change: Change, record: &Record) -> Result<Change, Error> {
    let value = serde_json::to_vec(record).map_err(|error| internal("a record cannot be written", error))?;
    let end = Some(record.not_after);
    let (of_user, of_maker) = ways(record);
    let way = serde_json::to_vec(&Way { app: record.app.clone(), created: record.created })
        .map_err(|error| internal("a record cannot be written", error))?;
    let change = change.put_record(Key::new(SESSION, record.hash.clone()), value, end);
    Ok(change.put_record(of_user, way, end).put_record(of_maker, record.created.to_string(), end))
}

/// What the way from a user says about the session at its end.
#[derive(Serialize, Deserialize)]
struct Way {
    app: String,
    created: Timestamp,
}

/// The hashes of a user's sessions with these applications, newest first. Last come those of which only the session itself says
/// what it is with: versions before wrote nothing else.
pub(super) async fn with(auth: &Auth, user: &str, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, Error> {
    let prefix = Prefix::sub(OF_USER, user.to_owned());
    let page = auth.store.backend().range(&prefix, None, MOST_WITH).await.map_err(storage_error)?;
    let found = page.items.iter().filter_map(|item| {
        let way: Option<Way> = serde_json::from_slice(&item.value).ok();
        let is_wanted = way.as_ref().is_none_or(|way| is_wanted(&way.app));
        is_wanted.then(|| (way.map(|way| way.created), item.key.name().to_owned()))
    });
    let mut found: Vec<(Option<Timestamp>, String)> = found.collect();
    found.sort_by(|(a, _), (b, _)| b.cmp(a));
    Ok(found.into_iter().map(|(_, hash)| hash).collect())
}

/// The keys that lead to a session.
fn ways(record: &Record) -> (Key, Key) {
    let (user, hash) = (record.user.clone(), record.hash.clone());
    (Key::with_sub(OF_USER, user, hash.clone()), Key::with_sub(OF_MAKER, record.maker(), hash))
}

/// Two instances of a bot do not end each other's sessions.
fn maker(user: &str, by: &UserMetadata) -> String {
    if by.bot_instance_id.is_empty() { user.to_owned() } else { format!("{user}/{}", by.bot_instance_id) }
}

/// The sessions that must end for `new` to begin, because there are too many: the oldest ones, read for the change that
/// ends them, so that each ends once.
///
/// Many that begin at one moment would all end the same one: after a race that was lost any of the oldest will do.
pub(super) async fn superfluous(
    auth: &Auth,
    change: &mut Change,
    new: &Record,
    has_raced: bool,
) -> Result<Vec<Record>, Error> {
    let prefix = Prefix::sub(OF_MAKER, new.maker());
    let page = auth.store.backend().range(&prefix, None, MOST_SESSIONS + ENDED_AT_ONCE).await.map_err(storage_error)?;
    let too_many = (page.items.len() + 1).saturating_sub(MOST_SESSIONS).min(ENDED_AT_ONCE);
    let created = |item: &&Item| std::str::from_utf8(&item.value).ok().and_then(|text| text.parse::<Timestamp>().ok());
    let mut oldest: Vec<&Item> = page.items.iter().collect();
    oldest.sort_by_key(created);
    let skipped = if has_raced { auth.random.below(OLD) } else { 0 };
    let mut ended = Vec::new();
    for item in oldest.into_iter().skip(skipped as usize).take(2 * ENDED_AT_ONCE) {
        if ended.len() >= too_many {
            break;
        }
        // One that is gone by now makes room without us.
        ended.extend(read_for(change, item.key.name()).await?);
    }
    Ok(ended)
}

/// Adds the end of a session to a change.
pub(super) fn delete(change: Change, record: &Record) -> Change {
    let (of_user, of_maker) = ways(record);
    change.delete_record(Key::new(SESSION, record.hash.clone())).delete_record(of_user).delete_record(of_maker)
}

/// A page of sessions, of one user or of all; `after` is the hash of the last one seen. Returns how to go on, if there is
/// more.
pub(super) async fn page(
    auth: &Auth,
    user: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<Record>, Option<String>), Error> {
    let key = |hash: &str| match user {
        Some(user) => Key::with_sub(OF_USER, user.to_owned(), hash.to_owned()),
        None => Key::new(SESSION, hash.to_owned()),
    };
    let prefix = user.map_or_else(|| Prefix::kind(SESSION), |user| Prefix::sub(OF_USER, user.to_owned()));
    let after = after.map(key);
    let page = auth.store.backend().range(&prefix, after.as_ref(), limit + 1).await.map_err(storage_error)?;
    let mut items = page.items;
    let next = (items.len() > limit).then(|| {
        items.truncate(limit);
        items.last().map(|item| item.key.name().to_owned()).unwrap_or_default()
    });
    let mut records = Vec::with_capacity(items.len());
    for item in &items {
        let record = match user {
            Some(_) => read(auth, item.key.name()).await?,
            None => Some(decode(item)?),
        };
        records.extend(record);
    }
    Ok((records, next))
}

/// The session that is stored in an item, if it is one.
pub(super) fn of_item(item: &Item) -> Option<Record> {
    (item.key.kind() == SESSION).then(|| decode(item).ok()).flatten()
}

fn decode(item: &Item) -> Result<Record, Error> {
    let mut record: Record =
        serde_json::from_slice(&item.value).map_err(|error| internal("a stored session cannot be read", error))?;
    item.key.name().clone_into(&mut record.hash);
    Ok(record)
}
