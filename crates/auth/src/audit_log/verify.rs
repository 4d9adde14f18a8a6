//! The proof that nothing was changed, removed or put in afterwards.

use std::sync::Arc;

use audit::chain::{Checkpoint, Finding, KeyStoreSigner, last_checkpoint, verify_store};
use clock::Timestamp;
use crypto::PublicKey;
use domain::Error;
use rbac::Verb;

use super::permit;
use crate::{
    Auth, Caller, Operation,
    failure::{internal, storage_error},
};

/// What a verification found.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Whether everything that can be checked fits.
    pub is_intact: bool,
    /// How many records fit.
    pub records: u64,
    /// How many checkpoints were held against the chain.
    pub checkpoints: u64,
    /// The time of the oldest record.
    pub first: Option<Timestamp>,
    /// The time of the newest record.
    pub last: Option<Timestamp>,
    /// What does not fit or is not proved, a sentence each.
    pub remarks: Vec<String>,
}

/// Walks the chain, against the last checkpoint in the store and one that was kept elsewhere.
///
/// # Errors
/// Denied; invalid when the checkpoint is none.
pub async fn verify(auth: &Auth, caller: &Caller, checkpoint: &[u8]) -> Result<Verified, Error> {
    permit(auth, caller, Operation::VerifyAudit, &[Verb::List, Verb::Read])?;
    let kept = match checkpoint {
        [] => None,
        text => Some(Checkpoint::parse(text).map_err(|error| Error::invalid(format!("checkpoint: {error}")))?),
    };
    let backend = auth.store.backend();
    let stored = last_checkpoint(&**backend).await.map_err(storage_error)?;
    let checkpoints = u64::from(stored.is_some()) + u64::from(kept.is_some());
    let key = signing_key(auth).await?;
    let report = verify_store(&**backend, &key, kept.into_iter().collect()).await.map_err(storage_error)?;
    let mut remarks: Vec<String> = report.findings.iter().map(sentence).collect();
    if report.problems > remarks.len() as u64 {
        remarks.push(format!("{} more things do not fit", report.problems - remarks.len() as u64));
    }
    if report.unlinked_count > 0 {
        remarks.push(format!("{} records are not linked yet; nothing proves them", report.unlinked_count));
    }
    if report.unproved > 0 {
        remarks.push(format!(
            "{} links are newer than every checkpoint; whoever owns the server could have laid them anew",
            report.unproved
        ));
    }
    let (first, last) = span(auth).await?;
    Ok(Verified { is_intact: report.is_intact(), records: report.linked, checkpoints, first, last, remarks })
}

/// The key that signs checkpoints.
async fn signing_key(auth: &Auth) -> Result<PublicKey, Error> {
    let signer = KeyStoreSigner::open(&**auth.store.backend(), Arc::clone(&auth.keystore)).await;
    signer.map(|signer| signer.key().clone()).map_err(|error| internal("the audit signing key cannot be read", error))
}

/// The times of the oldest and the newest record.
async fn span(auth: &Auth) -> Result<(Option<Timestamp>, Option<Timestamp>), Error> {
    let backend = auth.store.backend();
    let oldest = backend.journal_read(None, 1).await.map_err(storage_error)?;
    let newest = audit::Query {
        from: Timestamp::MIN,
        to: Timestamp::MAX,
        types: Vec::new(),
        text: None,
        order: audit::Order::NewestFirst,
        limit: 1,
        cursor: None,
    };
    let newest = super::search::find(auth, newest).await?;
    Ok((oldest.records.first().map(|record| record.entry.time), newest.entries.first().map(|entry| entry.time)))
}

fn sentence(finding: &Finding) -> String {
    match finding {
        Finding::Edited { entry, seq, .. } => format!("record {entry} (link {seq}) was changed, or its link was"),
        Finding::Missing { entry, seq, .. } => format!("record {entry} (link {seq}) is gone"),
        Finding::Reordered { entry } => format!("record {entry} lies elsewhere than in the chain, or is there twice"),
        Finding::Gap { writer, expected, found } => {
            format!("links {expected} to {} of writer {writer} are gone", found.saturating_sub(1))
        }
        Finding::Truncated { writer, seq, witness } => {
            format!(
                "the chain of writer {writer} ends before link {seq}, or has another one there; {witness} vouches for it"
            )
        }
        Finding::Inserted { entry } => format!("record {entry} was put in afterwards"),
        Finding::Checkpoint { reason } => reason.clone(),
    }
}
