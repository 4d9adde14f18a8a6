//! Finding events by time, type and text.

use audit::{Found, JournalStore, Query, Store as _, search::SearchError};
use domain::{Error, Kind};
use rbac::Verb;

use super::permit;
use crate::{
    Auth, Caller, Operation,
    failure::{internal, storage_error},
};

/// The most events of one answer: some kilobytes each, and clients take 4 MiB at most.
pub const MAX_EVENTS: usize = 500;

/// Finds events.
///
/// # Errors
/// Denied; invalid when the cursor is none of ours, or the times are the wrong way round.
pub async fn search(auth: &Auth, caller: &Caller, query: Query) -> Result<Found, Error> {
    permit(auth, caller, Operation::SearchEvents, &[Verb::List])?;
    find(auth, query).await
}

/// Refuses who may not look at recorded sessions. There are none: agents that record are not built.
///
/// # Errors
/// Denied.
pub fn permit_sessions(auth: &Auth, caller: &Caller) -> Result<(), Error> {
    auth.require_kind(caller, Operation::SearchEvents, Kind::Session, &[Verb::Read])
}

pub(crate) async fn find(auth: &Auth, mut query: Query) -> Result<Found, Error> {
    if query.from > query.to {
        return Err(Error::invalid("the search ends before it begins"));
    }
    query.limit = if query.limit == 0 { MAX_EVENTS } else { query.limit.min(MAX_EVENTS) };
    let log = JournalStore::new(auth.store.backend().clone());
    log.search(&query).await.map_err(|error| match error {
        SearchError::Cursor => Error::invalid("the start key is none that this server gave out; begin without one"),
        SearchError::Storage(error) => storage_error(error),
        SearchError::Record(error) => internal("the audit log cannot be read", error),
    })
}
