//! A proxy has seen the id of a session and takes what it needs to speak for it.

use clock::Timestamp;
use crypto::{SecretBytes, x509};
use domain::{Error, role::SystemRole};
use rbac::Verb;

use super::{Holder, SessionId, alive, gone, require_part};
use crate::{Auth, Caller, Operation};

/// A session, whole.
#[derive(Debug)]
pub struct Session {
    /// What logs call it.
    pub sid: String,
    /// Whose it is.
    pub user: String,
    /// The application.
    pub app: String,
    /// Where people reach it; empty when only its name is known.
    pub public_addr: String,
    /// The port of a TCP application with several; 0 for none.
    pub target_port: u16,
    /// When it began.
    pub created: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// Who may use it.
    pub holder: Holder,
    /// Its own certificate.
    pub certificate: x509::Certificate,
    /// The key of that: PKCS#8.
    pub private_key: SecretBytes,
}

/// Everything about a session whose id was seen.
///
/// # Errors
/// Denied to all but proxies; not found when it never was or is over.
pub async fn fetch(auth: &Auth, caller: &Caller, id: &SessionId) -> Result<Session, Error> {
    require_part(auth, caller, Operation::FetchAppSession, Verb::Read, &[SystemRole::Proxy])?;
    let alive = alive(auth, id).await?.ok_or_else(gone)?;
    let record = alive.record;
    Ok(Session {
        sid: record.sid(),
        private_key: record.open(id)?,
        user: record.user,
        app: record.app,
        public_addr: record.public_addr,
        target_port: record.target_port,
        created: record.created,
        not_after: record.not_after,
        holder: record.holder,
        certificate: alive.certificate,
    })
}
