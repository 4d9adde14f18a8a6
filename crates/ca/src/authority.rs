//! Authorities as resources: made with their keys, and opened to sign.

use clock::{Clock, Timestamp};
use crypto::x509::Certificate;
use crypto::{PublicKey, Random, SecretBytes};
use domain::ca::CaType;
use domain::form::{self, Bytes};
use domain::resources::cert_authority::{CertAuthority, JwtKeyPair, KeySet, PrivateKeyType, SshKeyPair, TlsKeyPair};
use domain::suite::Suite;
use keystore::suite::{Purpose, algorithm_for};
use keystore::{KeyKind, KeyStore, KeyUse, StoredKey};

use crate::x509::{self, AUTHORITY_LIFETIME, AuthorityTemplate};
use crate::{Error, not_before};

/// What kinds of keys an authority of this type has.
pub fn key_kinds(ca_type: CaType) -> &'static [KeyKind] {
    match ca_type {
        CaType::Host | CaType::User => &[KeyKind::Ssh, KeyKind::Tls],
        CaType::Openssh => &[KeyKind::Ssh],
        CaType::Db | CaType::DbClient | CaType::SamlIdp | CaType::AwsRa | CaType::Windows => &[KeyKind::Tls],
        CaType::Spiffe => &[KeyKind::Tls, KeyKind::Jwt],
        CaType::Jwt | CaType::OidcIdp | CaType::Okta | CaType::BoundKeypair => &[KeyKind::Jwt],
    }
}

/// Makes an authority with new keys.
///
/// # Errors
/// [`Error::KeyStore`]
pub async fn new_authority(
    ca_type: CaType,
    cluster: &str,
    suite: Suite,
    key_store: &dyn KeyStore,
    clock: &Clock,
    random: &Random,
) -> Result<CertAuthority, Error> {
    let mut authority = CertAuthority::empty(ca_type, cluster);
    authority.spec.active_keys = new_keys(ca_type, cluster, suite, key_store, clock.now(), random).await?;
    Ok(authority)
}

/// Makes one generation of keys: at the start of a cluster, and again in each rotation.
///
/// # Errors
/// [`Error::KeyStore`]
pub async fn new_keys(
    ca_type: CaType,
    cluster: &str,
    suite: Suite,
    key_store: &dyn KeyStore,
    now: Timestamp,
    random: &Random,
) -> Result<KeySet, Error> {
    let mut keys = KeySet::default();
    for kind in key_kinds(ca_type) {
        let algorithm = algorithm_for(suite, Purpose::Authority(ca_type, *kind));
        let key = key_store.generate(algorithm, KeyUse::Authority(ca_type, *kind)).await?;
        add_key(&mut keys, ca_type, cluster, &key, key_store, now, random).await?;
    }
    Ok(keys)
}

/// Adds a key to a set; a TLS key gets its self-signed certificate.
///
/// # Errors
/// [`Error::KeyStore`]
pub async fn add_key(
    keys: &mut KeySet,
    ca_type: CaType,
    cluster: &str,
    key: &StoredKey,
    key_store: &dyn KeyStore,
    now: Timestamp,
    random: &Random,
) -> Result<(), Error> {
    let sealed = form::SecretBytes::new(key.sealed.expose().clone());
    match key.key_use {
        KeyUse::Authority(_, KeyKind::Ssh) => keys.ssh.push(SshKeyPair {
            public_key: Bytes((key.public.to_authorized_key() + "\n").into_bytes()),
            private_key: sealed,
            private_key_type: PrivateKeyType::Raw,
        }),
        KeyUse::Authority(_, KeyKind::Jwt) => keys.jwt.push(JwtKeyPair {
            public_key: Bytes(key.public.to_pem().into_bytes()),
            private_key: sealed,
            private_key_type: PrivateKeyType::Raw,
        }),
        KeyUse::Authority(_, KeyKind::Tls) => {
            let template = AuthorityTemplate {
                cluster: cluster.to_owned(),
                // A trust domain's authority carries the domain's own ID (SPIFFE X509-SVID §4.3).
                uris: if ca_type == CaType::Spiffe { vec![format!("spiffe://{cluster}")] } else { Vec::new() },
                signs_documents: ca_type == CaType::SamlIdp,
                not_before: not_before(now),
                not_after: now.checked_add(AUTHORITY_LIFETIME).unwrap_or(Timestamp::MAX),
            };
            let certificate = x509::self_signed(&template, key, key_store, random).await?;
            keys.tls.push(TlsKeyPair {
                cert: Bytes(certificate.to_pem().into_bytes()),
                key: sealed,
                key_type: PrivateKeyType::Raw,
            });
        }
        KeyUse::AuditCheckpoints | KeyUse::AcmeAccount | KeyUse::PublicCertificate => {
            return Err(Error::Authority { ca_type, kind: "audit", reason: "not a key of an authority".to_owned() });
        }
    }
    Ok(())
}

/// The active TLS key, which signs.
///
/// # Errors
/// [`Error::Authority`]
pub fn tls_signer(authority: &CertAuthority) -> Result<x509::Signer, Error> {
    let pair = authority.spec.active_keys.tls.first().ok_or_else(|| missing(authority, "TLS"))?;
    let certificate = read_certificate(authority, &pair.cert)?;
    let public = certificate.public_key().map_err(|error| damaged(authority, "TLS", &error))?;
    Ok(x509::Signer { certificate, key: stored(authority, KeyKind::Tls, public, &pair.key)? })
}

/// The active SSH key, which signs.
///
/// # Errors
/// [`Error::Authority`]
pub fn ssh_signer(authority: &CertAuthority) -> Result<StoredKey, Error> {
    let pair = authority.spec.active_keys.ssh.first().ok_or_else(|| missing(authority, "SSH"))?;
    stored(authority, KeyKind::Ssh, read_ssh(authority, &pair.public_key)?, &pair.private_key)
}

/// The active JWT key, which signs.
///
/// # Errors
/// [`Error::Authority`]
pub fn jwt_signer(authority: &CertAuthority) -> Result<StoredKey, Error> {
    let pair = authority.spec.active_keys.jwt.first().ok_or_else(|| missing(authority, "JWT"))?;
    stored(authority, KeyKind::Jwt, read_jwt(authority, &pair.public_key)?, &pair.private_key)
}

/// Every private key of the authority, active or still trusted, as the key store reads it: for the check at start and
/// for the export. Public halves without a private one are left out.
///
/// # Errors
/// [`Error::Authority`]
pub fn stored_keys(authority: &CertAuthority) -> Result<Vec<StoredKey>, Error> {
    let mut keys = Vec::new();
    for set in [&authority.spec.active_keys, &authority.spec.additional_trusted_keys] {
        for pair in set.ssh.iter().filter(|pair| !pair.private_key.is_empty()) {
            keys.push(stored(authority, KeyKind::Ssh, read_ssh(authority, &pair.public_key)?, &pair.private_key)?);
        }
        for pair in set.tls.iter().filter(|pair| !pair.key.is_empty()) {
            let public = read_certificate(authority, &pair.cert)?.public_key();
            let public = public.map_err(|error| damaged(authority, "TLS", &error))?;
            keys.push(stored(authority, KeyKind::Tls, public, &pair.key)?);
        }
        for pair in set.jwt.iter().filter(|pair| !pair.private_key.is_empty()) {
            keys.push(stored(authority, KeyKind::Jwt, read_jwt(authority, &pair.public_key)?, &pair.private_key)?);
        }
    }
    Ok(keys)
}

/// The certificates that are trusted, active ones first.
///
/// # Errors
/// [`Error::Authority`] when one cannot be read.
pub fn trusted_certificates(authority: &CertAuthority) -> Result<Vec<Certificate>, Error> {
    let sets = [&authority.spec.active_keys, &authority.spec.additional_trusted_keys];
    let pairs = sets.into_iter().flat_map(|set| &set.tls);
    pairs.map(|pair| read_certificate(authority, &pair.cert)).collect()
}

/// The SSH keys that are trusted, active ones first.
///
/// # Errors
/// [`Error::Authority`] when one cannot be read.
pub fn trusted_ssh_keys(authority: &CertAuthority) -> Result<Vec<PublicKey>, Error> {
    let sets = [&authority.spec.active_keys, &authority.spec.additional_trusted_keys];
    let pairs = sets.into_iter().flat_map(|set| &set.ssh);
    pairs.map(|pair| read_ssh(authority, &pair.public_key)).collect()
}

/// The JWT keys that are trusted, active ones first.
///
/// # Errors
/// [`Error::Authority`] when one cannot be read.
pub fn trusted_jwt_keys(authority: &CertAuthority) -> Result<Vec<PublicKey>, Error> {
    let sets = [&authority.spec.active_keys, &authority.spec.additional_trusted_keys];
    let pairs = sets.into_iter().flat_map(|set| &set.jwt);
    pairs.map(|pair| read_jwt(authority, &pair.public_key)).collect()
}

fn stored(
    authority: &CertAuthority,
    kind: KeyKind,
    public: PublicKey,
    sealed: &form::SecretBytes,
) -> Result<StoredKey, Error> {
    if sealed.is_empty() {
        return Err(Error::Authority {
            ca_type: authority.ca_type(),
            kind: "private",
            reason: "the private key was left out when this authority was read".to_owned(),
        });
    }
    let key_use = KeyUse::Authority(authority.ca_type(), kind);
    Ok(StoredKey { key_use, public, sealed: SecretBytes::from(sealed.expose()) })
}

fn read_certificate(authority: &CertAuthority, pem: &Bytes) -> Result<Certificate, Error> {
    let text = std::str::from_utf8(&pem.0).map_err(|error| damaged(authority, "TLS", &error))?;
    Certificate::from_pem(text).map_err(|error| damaged(authority, "TLS", &error))
}

fn read_ssh(authority: &CertAuthority, line: &Bytes) -> Result<PublicKey, Error> {
    let text = std::str::from_utf8(&line.0).map_err(|error| damaged(authority, "SSH", &error))?;
    PublicKey::from_authorized_key(text).map_err(|error| damaged(authority, "SSH", &error))
}

fn read_jwt(authority: &CertAuthority, pem: &Bytes) -> Result<PublicKey, Error> {
    let text = std::str::from_utf8(&pem.0).map_err(|error| damaged(authority, "JWT", &error))?;
    PublicKey::from_pem(text).map_err(|error| damaged(authority, "JWT", &error))
}

fn missing(authority: &CertAuthority, kind: &'static str) -> Error {
    Error::Authority { ca_type: authority.ca_type(), kind, reason: "it has none".to_owned() }
}

fn damaged(authority: &CertAuthority, kind: &'static str, error: &dyn std::error::Error) -> Error {
    Error::Authority { ca_type: authority.ca_type(), kind, reason: error.to_string() }
}
