//! Which certificates that are still valid a lock hits, from the records of their issue.

use std::time::Duration;

use audit::{AnyEvent, Entry, Event as _, Order, Query, events::cert::CertificateCreate};
use clock::Timestamp;
use domain::{Error, resources::Lock};
use rbac::locks::LockSubject;

use crate::{Auth, audit_log::search::find};

/// How far back the records are read. A user's certificate that lives longer is revoked by the key id of its user only.
const LOOK_BACK: Duration = Duration::from_secs(8 * 24 * 3600);

/// How many answers of the log are read for one list, so that it ends in a cluster that issues a great deal.
const ANSWERS: usize = 400;

/// The numbers of certificates that are locked.
#[derive(Debug, Default)]
pub(super) struct Locked {
    /// Of X.509 certificates: big-endian, and since when.
    pub(super) tls: Vec<(Vec<u8>, Timestamp)>,
    /// Of SSH certificates.
    pub(super) ssh: Vec<u64>,
}

/// Reads the records of the last days, newest first.
pub(super) async fn locked(auth: &Auth, locks: &[Lock]) -> Result<Locked, Error> {
    let mut locked = Locked::default();
    if locks.is_empty() {
        return Ok(locked);
    }
    let now = auth.clock.now();
    let mut query = Query {
        from: now.saturating_sub(LOOK_BACK).unwrap_or(Timestamp::MIN),
        to: now,
        types: vec![CertificateCreate::NAME.to_owned()],
        text: None,
        order: Order::NewestFirst,
        limit: 0,
        cursor: None,
    };
    for _ in 0..ANSWERS {
        let found = find(auth, query.clone()).await?;
        for entry in &found.entries {
            take(&mut locked, entry, locks, now);
        }
        query.cursor = found.next;
        if query.cursor.is_none() {
            return Ok(locked);
        }
    }
    tracing::warn!(answers = ANSWERS, "a revocation list names only the newest of the locked certificates");
    Ok(locked)
}

fn take(locked: &mut Locked, entry: &Entry, locks: &[Lock], now: Timestamp) {
    let Ok(Some(AnyEvent::CertificateCreate(event))) = entry.decode() else { return };
    let identity = &event.identity;
    if identity.expires.is_some_and(|end| end <= now) {
        return;
    }
    let subject = LockSubject {
        user: &identity.user,
        roles: identity.roles.iter().map(String::as_str).collect(),
        logins: identity.logins.iter().map(String::as_str).collect(),
        access_requests: identity.access_requests.iter().map(String::as_str).collect(),
        server_ids: vec![&identity.user],
        bot_instance_id: &identity.bot_instance_id,
        join_token_hash: &identity.join_token_hash,
        ..LockSubject::default()
    };
    let Some(lock) = locks.iter().find(|lock| subject.is_hit_by(lock)) else { return };
    let since = lock.spec.created_at.unwrap_or(entry.time).max(entry.time);
    if let Ok(serial) = hex::decode(event.serial_number.replace(':', ""))
        && !serial.is_empty()
    {
        locked.tls.push((serial, since));
    }
    locked.ssh.extend(event.ssh_serial_number.filter(|serial| *serial != 0));
}
