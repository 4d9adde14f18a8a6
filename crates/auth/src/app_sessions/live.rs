//! Whether a session still lives: asked every few seconds by proxies and agents that carry one.

use clock::Timestamp;
use domain::{Error, role::SystemRole};
use rbac::Verb;

use super::{SessionId, alive, require_part};
use crate::{Auth, Caller, Operation};

/// A session that lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// When it ends.
    pub not_after: Timestamp,
    /// The port of a TCP application with several; 0 for none.
    pub target_port: u16,
}

/// Whether the session lives; `None` also for what never was.
///
/// # Errors
/// Denied to all but proxies and agents of applications.
pub async fn live(auth: &Auth, caller: &Caller, id: &SessionId) -> Result<Option<Live>, Error> {
    let parts = [SystemRole::Proxy, SystemRole::App];
    require_part(auth, caller, Operation::CheckAppSession, Verb::ReadNoSecrets, &parts)?;
    let alive = alive(auth, id).await?;
    Ok(alive.map(|alive| Live { not_after: alive.record.not_after, target_port: alive.record.target_port }))
}
