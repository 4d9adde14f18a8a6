//! Certificates of the public port that an ACME authority has issued: kept here, so that every proxy has them and one of
//! them orders. Private keys lie sealed like those of the authorities.

use std::time::Duration;

use audit::{
    ResourceMetadata,
    events::proxy::{AcmeAccountStore, PublicCertificateStore},
};
use clock::Timestamp;
use crypto::{KeyPair, PublicKey, SecretBytes, hash, x509};
use domain::{Error, Kind, names, role::SystemRole};
use keystore::{KeyUse, StoredKey};
use rbac::{RuleContext, Verb};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use storage::{Item, Key, Prefix};
use store::settle;

use crate::{
    Auth, Caller, Operation,
    decide::Asked,
    failure::{internal, storage_error},
};

const ACCOUNT: &str = "tessera_acme_account";
const CERTIFICATE: &str = "tessera_public_certificate";
const CLAIM: &str = "tessera_acme_claim";
const CHALLENGE: &str = "tessera_acme_challenge";

/// The most certificates that are handed out, and so kept in use.
const MOST: usize = 1000;

/// The longest chain, URL and answer to a challenge.
const LONGEST_CHAIN: usize = 64 * 1024;
const LONGEST_TEXT: usize = 2048;

/// The longest claim: a proxy that died with it keeps nobody from ordering for longer.
const LONGEST_CLAIM: Duration = Duration::from_secs(24 * 3600);

/// How long failures are remembered after a claim has ended, so that waits grow over many of them.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// How long an answer to a challenge is kept.
const CHALLENGED: Duration = Duration::from_secs(3600);

/// A certificate with its key.
#[derive(Debug)]
pub struct PublicCertificate {
    /// The host name that it is for.
    pub name: String,
    /// PEM, leaf first.
    pub chain: String,
    /// PKCS#8.
    pub private_key: SecretBytes,
}

/// An account with an ACME authority.
#[derive(Debug)]
pub struct Account {
    /// The authority's directory.
    pub directory: String,
    /// The account's URL.
    pub id: String,
    /// PKCS#8.
    pub private_key: SecretBytes,
}

/// Who may order a certificate now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Whether that is the one who asked.
    pub granted: bool,
    /// Until when it is nobody else.
    pub until: Timestamp,
    /// How many attempts in a row have failed.
    pub failures: u32,
}

/// What claims a certificate.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// The name of the certificate.
    pub name: String,
    /// Who claims: random, for one attempt.
    pub holder: String,
    /// For how long.
    pub hold: Duration,
    /// How many attempts in a row have failed, when that has changed.
    pub failures: Option<u32>,
}

/// What answers an authority's challenge. Not secret: whoever asks a proxy for it gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The host name that is to be proved.
    pub name: String,
    /// The authority's word.
    pub token: String,
    /// Ours to it.
    pub key_authorization: String,
}

#[derive(Serialize, Deserialize)]
struct StoredCertificate {
    chain: String,
    key: Sealed,
}

#[derive(Serialize, Deserialize)]
struct StoredAccount {
    directory: String,
    id: String,
    key: Sealed,
}

#[derive(Serialize, Deserialize)]
struct Claimed {
    holder: String,
    until: Timestamp,
    failures: u32,
}

/// A private key as the key store has sealed it.
#[derive(Serialize, Deserialize)]
struct Sealed {
    public: String,
    sealed: Vec<u8>,
}

/// Every certificate that is good now.
///
/// # Errors
/// Denied to all but proxies.
pub async fn list(auth: &Auth, caller: &Caller) -> Result<Vec<PublicCertificate>, Error> {
    permit(auth, caller, Operation::ReadPublicCertificates, Verb::Read)?;
    let page = auth.store.backend().range(&Prefix::kind(CERTIFICATE), None, MOST).await.map_err(storage_error)?;
    let mut found = Vec::with_capacity(page.items.len());
    for item in &page.items {
        let stored: StoredCertificate = decode(item)?;
        let private_key = open(auth, &stored.key, KeyUse::PublicCertificate).await?;
        found.push(PublicCertificate { name: item.key.name().to_owned(), chain: stored.chain, private_key });
    }
    Ok(found)
}

/// Keeps a certificate until it ends, in place of the one before.
///
/// # Errors
/// Denied to all but proxies; invalid when it is not for its name, or not its key's.
pub async fn store(auth: &Auth, caller: &Caller, certificate: &PublicCertificate) -> Result<(), Error> {
    permit(auth, caller, Operation::StorePublicCertificate, Verb::Update)?;
    let PublicCertificate { name, chain, private_key } = certificate;
    names::DNS_NAME.check("certificate.name", name)?;
    let bad = |what: &str| Error::invalid(format!("certificate: {what}"));
    if chain.len() > LONGEST_CHAIN {
        return Err(bad("the chain is too long"));
    }
    let parsed = x509::Certificate::many_from_pem(chain).map_err(|_| bad("the chain cannot be read"))?;
    let leaf = parsed.first().ok_or_else(|| bad("the chain is empty"))?;
    if !leaf.dns_names().iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err(bad("it is for another name"));
    }
    let key = KeyPair::from_pkcs8_der(private_key.expose()).map_err(|_| bad("the key cannot be read"))?;
    if leaf.public_key().ok().as_ref() != Some(key.public()) {
        return Err(bad("the key is another one's"));
    }
    let stored = StoredCertificate { chain: chain.clone(), key: seal(auth, &key, KeyUse::PublicCertificate).await? };
    let ends = leaf.not_after();
    let event = PublicCertificateStore {
        resource: ResourceMetadata::new(name.clone(), Some(ends), caller.name()),
        user: caller.user_metadata(),
        connection: caller.connection(),
        fingerprint: leaf.fingerprint(),
        issuer: leaf.issuer().iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", "),
    };
    let change = auth.store.change().put_record(Key::new(CERTIFICATE, name.clone()), encode(&stored)?, Some(ends));
    change.event(&event).commit().await.map(drop)
}

/// The account with an authority.
///
/// # Errors
/// Denied to all but proxies; not found.
pub async fn account(auth: &Auth, caller: &Caller, directory: &str) -> Result<Account, Error> {
    permit(auth, caller, Operation::ReadPublicCertificates, Verb::Read)?;
    let item = auth.store.record(&account_key(directory)).await?;
    of_account(auth, &item.ok_or_else(|| Error::not_found("there is no account with this authority"))?).await
}

/// Keeps an account, unless there is one; returns the one that is kept.
///
/// # Errors
/// Denied to all but proxies; invalid.
pub async fn store_account(auth: &Auth, caller: &Caller, account: Account) -> Result<Account, Error> {
    permit(auth, caller, Operation::StoreAcmeAccount, Verb::Update)?;
    let Account { directory, id, private_key } = account;
    if directory.is_empty() || id.is_empty() || directory.len().max(id.len()) > LONGEST_TEXT {
        return Err(Error::invalid("account: a directory and an id are needed, each of at most 2048 characters"));
    }
    let key = KeyPair::from_pkcs8_der(private_key.expose())
        .map_err(|_| Error::invalid("account.private_key: cannot be read"))?;
    let stored = StoredAccount { key: seal(auth, &key, KeyUse::AcmeAccount).await?, directory, id };
    let event = AcmeAccountStore {
        resource: ResourceMetadata::new(stored.directory.clone(), None, caller.name()),
        user: caller.user_metadata(),
        connection: caller.connection(),
        account: stored.id.clone(),
    };
    let value = encode(&stored)?;
    settle(|| async {
        let mut change = auth.store.change();
        let key = account_key(&stored.directory);
        if let Some(item) = change.read_record(key.clone()).await? {
            return of_account(auth, &item).await;
        }
        change.put_record(key, value.clone(), None).event(&event).commit().await?;
        let (directory, id) = (stored.directory.clone(), stored.id.clone());
        Ok(Account { directory, id, private_key: private_key.clone() })
    })
    .await
}

/// Claims the right to order a certificate, or gives up a claim with a `hold` of zero. Not audited: what comes of it is.
///
/// # Errors
/// Denied to all but proxies; invalid.
pub async fn claim(auth: &Auth, caller: &Caller, claimant: Claimant) -> Result<Claim, Error> {
    permit(auth, caller, Operation::ProvePublicName, Verb::Update)?;
    names::DNS_NAME.check("name", &claimant.name)?;
    if claimant.holder.is_empty() || claimant.holder.len() > LONGEST_TEXT {
        return Err(Error::invalid("holder: is needed"));
    }
    settle(|| async {
        let mut change = auth.store.change();
        let key = Key::new(CLAIM, claimant.name.clone());
        let known: Option<Claimed> = change.read_record(key.clone()).await?.as_ref().map(decode).transpose()?;
        let now = auth.clock.now();
        let failures = known.as_ref().map_or(0, |known| known.failures);
        if let Some(known) = known.filter(|known| known.until > now && known.holder != claimant.holder) {
            return Ok(Claim { granted: false, until: known.until, failures });
        }
        let failures = claimant.failures.unwrap_or(failures);
        let after = |start: Timestamp, span| start.saturating_add(span).unwrap_or(Timestamp::MAX);
        let until = after(now, claimant.hold.min(LONGEST_CLAIM));
        let claimed = Claimed { holder: claimant.holder.clone(), until, failures };
        change.put_record(key, encode(&claimed)?, Some(after(until, REMEMBERED))).commit().await?;
        Ok(Claim { granted: true, until, failures })
    })
    .await
}

/// Keeps the answer to a challenge for an hour. Not audited, as it is gone then.
///
/// # Errors
/// Denied to all but proxies; invalid.
pub async fn store_challenge(auth: &Auth, caller: &Caller, challenge: &Challenge) -> Result<(), Error> {
    permit(auth, caller, Operation::ProvePublicName, Verb::Update)?;
    names::DNS_NAME.check("challenge.name", &challenge.name)?;
    if challenge.token.len().max(challenge.key_authorization.len()) > LONGEST_TEXT {
        return Err(Error::invalid("challenge: is too long"));
    }
    let ends = auth.clock.now().saturating_add(CHALLENGED).unwrap_or(Timestamp::MAX);
    let key = Key::new(CHALLENGE, challenge.name.clone());
    auth.store.change().put_record(key, encode(challenge)?, Some(ends)).commit().await.map(drop)
}

/// The answer to the challenge of a name.
///
/// # Errors
/// Denied to all but proxies; not found.
pub async fn challenge(auth: &Auth, caller: &Caller, name: &str) -> Result<Challenge, Error> {
    permit(auth, caller, Operation::ReadPublicCertificates, Verb::Read)?;
    names::DNS_NAME.check("name", name)?;
    let item = auth.store.record(&Key::new(CHALLENGE, name.to_owned())).await?;
    decode(&item.ok_or_else(|| Error::not_found("nobody has to prove this name"))?)
}

/// A rule of a person's role says nothing about it: the keys are the proxies'.
fn permit(auth: &Auth, caller: &Caller, operation: Operation, verb: Verb) -> Result<(), Error> {
    auth.require(caller, &Asked { operation, kind: Kind::Proxy, verb, name: "" }, &RuleContext::NONE)?;
    match caller.system_role() {
        Some(SystemRole::Proxy | SystemRole::Admin) => Ok(()),
        _ => Err(Error::denied("access denied")),
    }
}

fn account_key(directory: &str) -> Key {
    Key::new(ACCOUNT, hash::sha256_hex(directory.as_bytes()))
}

async fn of_account(auth: &Auth, item: &Item) -> Result<Account, Error> {
    let stored: StoredAccount = decode(item)?;
    let private_key = open(auth, &stored.key, KeyUse::AcmeAccount).await?;
    Ok(Account { directory: stored.directory, id: stored.id, private_key })
}

async fn seal(auth: &Auth, key: &KeyPair, key_use: KeyUse) -> Result<Sealed, Error> {
    let stored = auth.keystore.import(key, key_use).await.map_err(|error| internal("a key cannot be sealed", error))?;
    Ok(Sealed { public: stored.public.to_pem(), sealed: stored.sealed.expose().clone() })
}

async fn open(auth: &Auth, sealed: &Sealed, key_use: KeyUse) -> Result<SecretBytes, Error> {
    let unreadable = |error| internal("a stored key cannot be read", error);
    let public = PublicKey::from_pem(&sealed.public).map_err(unreadable)?;
    let stored = StoredKey { key_use, public, sealed: SecretBytes::new(sealed.sealed.clone()) };
    let key =
        auth.keystore.export_key(&stored).await.map_err(|error| internal("a sealed key cannot be opened", error))?;
    key.to_pkcs8_der().map_err(unreadable)
}

fn encode(record: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(record).map_err(|error| internal("a record cannot be written", error))
}

fn decode<T: DeserializeOwned>(item: &Item) -> Result<T, Error> {
    serde_json::from_slice(&item.value).map_err(|error| internal("a stored record cannot be read", error))
}
