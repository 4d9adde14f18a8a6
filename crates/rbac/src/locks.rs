//! Which lock hits whom, and what happens when locks are not known freshly.

use std::time::Duration;

use domain::{Timestamp, identity::Identity, resources::lock::Lock};

use crate::options::LockingMode;

/// How old the auth service's and the proxy's view of locks may be before `strict` refuses everything. The change source
/// reports every 500 ms; shorter would refuse honest callers at each hiccup, longer would let a locked one go on.
pub const STALE_AFTER: Duration = Duration::from_secs(5);

/// The same for agents, which are told every 5 s.
pub const STALE_AFTER_AT_AGENTS: Duration = Duration::from_secs(15);

/// Everything about a caller or a connection that a lock can target. Each field is compared by itself.
#[derive(Debug, Clone, Default)]
pub struct LockSubject<'a> {
    /// The user.
    pub user: &'a str,
    /// The roles in the certificate, and those of the user behind it.
    pub roles: Vec<&'a str>,
    /// The logins in use: of a connection its login, of a certificate all its principals.
    pub logins: Vec<&'a str>,
    /// The device of the second factor.
    pub mfa_device: &'a str,
    /// The Windows desktop to be reached.
    pub windows_desktop: &'a str,
    /// The access requests that the certificate has its roles from.
    pub access_requests: Vec<&'a str>,
    /// The trusted device.
    pub device: &'a str,
    /// The host: its id, and its id with the cluster name behind a dot.
    pub server_ids: Vec<&'a str>,
    /// The bot instance.
    pub bot_instance_id: &'a str,
    /// SHA-256, in hex, of the name of the join token that the bot came with.
    pub join_token_hash: &'a str,
}

impl<'a> LockSubject<'a> {
    /// What a certificate says about its holder.
    #[must_use]
    pub fn of(identity: &'a Identity) -> Self {
        Self {
            user: &identity.username,
            roles: identity.roles.iter().map(String::as_str).collect(),
            logins: identity.principals.iter().map(String::as_str).collect(),
            mfa_device: &identity.mfa_verified,
            access_requests: identity.active_requests.iter().map(String::as_str).collect(),
            device: &identity.device_id,
            server_ids: vec![identity.host_id().unwrap_or_default(), &identity.username],
            bot_instance_id: &identity.bot_instance_id,
            join_token_hash: &identity.join_token_hash,
            ..Self::default()
        }
    }

    /// Who has taken on the holder's name, and is still behind it; nobody when that is the holder.
    #[must_use]
    pub fn behind(identity: &'a Identity) -> Option<Self> {
        let behind = Some(identity.impersonator.as_str()).filter(|name| !name.is_empty() && *name != identity.username);
        behind.map(|user| Self { user, ..Self::default() })
    }

    /// Whether any field of a lock's target is one of the caller's.
    #[must_use]
    pub fn is_hit_by(&self, lock: &Lock) -> bool {
        lock.spec.target.fields().any(|(field, value)| match field {
            "user" => self.user == value,
            "role" => self.roles.contains(&value),
            "login" => self.logins.contains(&value),
            "mfa_device" => self.mfa_device == value,
            "windows_desktop" => self.windows_desktop == value,
            "access_request" => self.access_requests.contains(&value),
            "device" => self.device == value,
            "node" | "server_id" => self.server_ids.contains(&value),
            "bot_instance_id" => self.bot_instance_id == value,
            "join_token" => {
                !self.join_token_hash.is_empty() && self.join_token_hash == crypto::hash::sha256_hex(value.as_bytes())
            }
            _ => false,
        })
    }
}

/// Locks as they are known here.
#[derive(Debug, Clone, Copy)]
pub struct LockView<L> {
    /// The locks.
    pub locks: L,
    /// When they were last known to be all.
    pub as_of: Timestamp,
    /// From which age on they are stale: [`STALE_AFTER`] or [`STALE_AFTER_AT_AGENTS`].
    pub stale_after: Duration,
}

/// Why a caller is shut out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Locked {
    /// A lock hits. The text is what clients look for; the caller may read it.
    #[error("{refusal}")]
    InForce {
        /// The name of the lock.
        lock: String,
        /// `lock targeting User:"x" is in force: <message>`
        refusal: String,
    },
    /// It is not known freshly which locks there are, and the mode is strict.
    #[error("the locks known here are {} s old and the locking mode is strict; try again", .age.as_secs())]
    Stale {
        /// How old they are.
        age: Duration,
    },
}

/// What to remember about an answer that let the caller pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// On fresh locks.
    Fresh,
    /// On locks of this age, since the mode is best effort: count and report it.
    Stale(Duration),
}

/// The first lock in force that hits.
pub fn find<'a>(
    locks: impl IntoIterator<Item = &'a Lock>,
    subject: &LockSubject<'_>,
    now: Timestamp,
) -> Option<&'a Lock> {
    locks.into_iter().find(|lock| lock.is_in_force(now) && subject.is_hit_by(lock))
}

/// Decides whether a caller is shut out. A known lock always holds; the mode matters only when the view is stale.
///
/// # Errors
/// Why the caller is shut out.
pub fn check<'a>(
    view: LockView<impl IntoIterator<Item = &'a Lock>>,
    subject: &LockSubject<'_>,
    mode: LockingMode,
    now: Timestamp,
) -> Result<Passed, Locked> {
    if let Some(lock) = find(view.locks, subject, now) {
        return Err(Locked::InForce { lock: lock.metadata.name.clone(), refusal: lock.refusal() });
    }
    // A clock that was set back makes the view seem to come from the future: that is not stale.
    let age = now.duration_since(view.as_of).try_into().unwrap_or(Duration::ZERO);
    match mode {
        _ if age <= view.stale_after => Ok(Passed::Fresh),
        LockingMode::Strict => Err(Locked::Stale { age }),
        LockingMode::BestEffort => Ok(Passed::Stale(age)),
    }
}
