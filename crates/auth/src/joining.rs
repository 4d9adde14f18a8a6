//! A machine without an identity proves what it is and gets its first one.
//!
//! What is proved, and how, is the business of `join`; here it is decided what a machine gets that has proved it.

mod bot;
pub mod host;
pub(crate) mod known;

use std::time::Duration;

use clock::Timestamp;
use crypto::PublicKey;
use domain::{
    Error,
    error::{Kind as ErrorKind, Reason},
    role::SystemRole,
};
use store::settle;

use crate::{
    Auth, Caller,
    certificates::{Issued, host::HostNames},
};
pub(crate) use bot::{instance_document, not_after};
pub use join::Proof;

/// The life of a first certificate when the machine does not say how long.
pub const DEFAULT_TTL: Duration = Duration::from_secs(3600);

/// What a machine sends when it joins.
#[derive(Debug)]
pub struct JoinRequest {
    /// What it shows.
    pub proof: Proof,
    /// What the machine wants to be.
    pub role: SystemRole,
    /// The key for its X.509 certificate.
    pub tls_key: PublicKey,
    /// The key for its SSH certificate.
    pub ssh_key: PublicKey,
    /// When the certificates are to end; the bot's limit is applied.
    pub expires: Option<Timestamp>,
    /// What a host is called; a bot has its name from its token.
    pub host: HostNames,
}

/// Joins a machine.
///
/// # Errors
/// Denied when the token is unknown, expired, spent or for something else; unsupported for what cannot join yet;
/// unavailable when the outcome of the commit is not known (asking again with the same keys is right).
pub async fn join(auth: &Auth, caller: &Caller, request: JoinRequest) -> Result<Issued, Error> {
    let joined = settle(|| async {
        match request.role {
            SystemRole::Bot => bot::join(auth, caller, &request).await,
            _ => host::join(auth, caller, &request).await,
        }
    });
    joined.await.map_err(|error| {
        if let Some(words) = recorded(&error) {
            // Before its token is known a method is what a stranger says.
            let is_known = error.reason != Some(Reason::TokenUnknown);
            let method = if is_known { request.proof.method().as_str() } else { "unknown" };
            auth.failed_join(caller, method, words);
        }
        match error.reason {
            // Which roles a token is for is nothing for somebody whom it does not let in.
            Some(Reason::TokenRole) => error.because(Reason::TokenUnknown),
            _ => error,
        }
    })
}

/// What the log of failed joins says about a refusal: words of ours, nothing that a stranger chose. Failures of our own are
/// no failed joins.
fn recorded(error: &Error) -> Option<&'static str> {
    Some(match (error.reason, error.kind) {
        (_, ErrorKind::Unavailable | ErrorKind::Internal) => return None,
        (Some(Reason::TokenUnknown), _) => "token expired or not found",
        (Some(Reason::TokenRole), _) => "token is for another role",
        (Some(Reason::TokenSpent), _) => "token was spent by another join",
        (Some(Reason::TokenBeforeRestore), _) => "token was made before a restore",
        (Some(Reason::UnknownBot), _) => "bot of the token does not exist",
        (Some(Reason::UnknownInstance), _) => "bot instance was deleted",
        (Some(Reason::HostTaken), _) => "host id belongs to a host that has joined already",
        (Some(Reason::Locked), _) => "locked",
        (Some(Reason::TooManyRepeats), _) => "asked again too often",
        (_, ErrorKind::Unsupported) => "join method or role is not supported yet",
        (_, ErrorKind::Invalid) => "malformed request",
        _ => "refused",
    })
}
