//! How the cluster is: its pins, its authorities, whether it is ready, whether it was rolled back.

use clock::Timestamp;
use crypto::PublicKey;
use domain::{Error, ca::CaType, resources::CertAuthority, suite::Suite};

use crate::{
    Auth, Caller,
    failure::internal,
    proxies,
    rollback::{self, Rollbacks},
};

/// The state of the cluster, for `tctl status`. Nothing in it is secret.
#[derive(Debug, Clone)]
pub struct Status {
    /// The cluster's name.
    pub cluster: String,
    /// This server's time.
    pub now: Timestamp,
    /// When this server started.
    pub started_at: Timestamp,
    /// When the store was found to be older than what had been issued from it.
    pub rolled_back_at: Option<Timestamp>,
    /// What is not as it should be.
    pub reasons: Vec<Reason>,
    /// Every key of every authority.
    pub authorities: Vec<AuthorityKey>,
    /// `sha256:…` of the host authorities.
    pub pins: Vec<String>,
    /// The suite of new keys.
    pub suite: Suite,
}

/// Why a part of the server is, or is not, ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Which part.
    pub component: &'static str,
    /// Whether it is ready nevertheless.
    pub ready: bool,
    /// What an operator should know.
    pub text: String,
}

/// One key of one authority.
#[derive(Debug, Clone)]
pub struct AuthorityKey {
    /// The type of the authority.
    pub ca_type: CaType,
    /// Whether it signs, or is only trusted.
    pub is_active: bool,
    /// `ssh`, `tls` or `jwt`.
    pub key_use: &'static str,
    /// The public key.
    pub public: PublicKey,
    /// When its certificate begins and ends; SSH and JWT keys have none.
    pub validity: Option<(Timestamp, Timestamp)>,
}

impl AuthorityKey {
    /// What people compare keys by: the SHA-256 of the key's PKIX form, as in a CA pin.
    pub fn fingerprint(&self) -> String {
        format!("sha256:{}", crypto::hash::sha256_hex(&self.public.spki_der()))
    }
}

impl Status {
    /// Whether the cluster can do its work.
    pub fn is_ready(&self) -> bool {
        self.reasons.iter().all(|reason| reason.ready)
    }
}

/// Reads the state of the cluster. Every identity of the cluster may know it.
///
/// # Errors
/// Denied to strangers; whatever storage says.
pub async fn status(auth: &Auth, caller: &Caller) -> Result<Status, Error> {
    if caller.is_anonymous() {
        return Err(Error::denied("access denied").because(domain::error::Reason::AccessDenied));
    }
    let mut authorities = Vec::new();
    for authority in auth.store.all::<CertAuthority>().await? {
        if authority.spec.cluster_name == auth.cluster() {
            authorities.extend(keys(&authority)?);
        }
    }
    let suite = auth.cache.snapshot().auth_preference().map(|preference| preference.spec.signature_algorithm_suite);
    let rollbacks = rollback::known(&auth.store).await?;
    Ok(Status {
        cluster: auth.cluster().to_owned(),
        now: auth.clock.now(),
        started_at: auth.started_at,
        rolled_back_at: rollbacks.rolled_back_at.last().copied(),
        reasons: reasons(auth, &rollbacks).into_iter().chain(of_proxies(auth).await?).collect(),
        authorities,
        pins: auth.host_certificates()?.iter().map(|certificate| certificate.pin()).collect(),
        suite: suite.unwrap_or_default().effective(),
    })
}

fn reasons(auth: &Auth, rollbacks: &Rollbacks) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if !auth.is_fresh() {
        let text = match auth.cache.age() {
            None => "not read yet".to_owned(),
            Some(age) => format!("{} s behind the store", age.as_secs()),
        };
        reasons.push(Reason { component: "cache", ready: false, text });
    }
    if !rollbacks.rolled_back_at.is_empty() {
        let at: Vec<String> = rollbacks.rolled_back_at.iter().map(ToString::to_string).collect();
        let at = at.join(", ");
        let text = format!(
            "the store was rolled back (noticed {at}): locks, deletions and spent tokens of the time before may be gone"
        );
        reasons.push(Reason { component: "storage", ready: true, text });
    }
    if let Some(text) = auth.sweeper.pause() {
        reasons.push(Reason { component: "sweeper", ready: true, text });
    }
    reasons
}

/// What the proxies say about themselves.
async fn of_proxies(auth: &Auth) -> Result<Vec<Reason>, Error> {
    let said = proxies::all(auth).await?.into_iter().filter(|proxy| !proxy.notice.is_empty());
    let reason = |proxy: proxies::Proxy| Reason {
        component: "proxy",
        ready: true,
        text: format!("{}: {}", if proxy.hostname.is_empty() { &proxy.host_id } else { &proxy.hostname }, proxy.notice),
    };
    Ok(said.map(reason).collect())
}

fn keys(authority: &CertAuthority) -> Result<Vec<AuthorityKey>, Error> {
    let unreadable = |error: ca::Error| internal("a certificate authority cannot be read", error);
    let ca_type = authority.ca_type();
    let active = &authority.spec.active_keys;
    let key = |key_use, public, index, active: usize, validity| AuthorityKey {
        ca_type,
        is_active: index < active,
        key_use,
        public,
        validity,
    };
    let mut keys = Vec::new();
    for (index, public) in ca::authority::trusted_ssh_keys(authority).map_err(unreadable)?.into_iter().enumerate() {
        keys.push(key("ssh", public, index, active.ssh.len(), None));
    }
    for (index, certificate) in ca::authority::trusted_certificates(authority).map_err(unreadable)?.iter().enumerate() {
        let public = certificate.public_key().map_err(|error| internal("a certificate cannot be read", error))?;
        let validity = Some((certificate.not_before(), certificate.not_after()));
        keys.push(key("tls", public, index, active.tls.len(), validity));
    }
    for (index, public) in ca::authority::trusted_jwt_keys(authority).map_err(unreadable)?.into_iter().enumerate() {
        keys.push(key("jwt", public, index, active.jwt.len(), None));
    }
    Ok(keys)
}
