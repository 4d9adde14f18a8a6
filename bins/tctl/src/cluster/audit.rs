//! The audit log.

use api::{
    r#gen::{teleport::auditlog::v1::GetUnstructuredEventsRequest, tessera::v1::VerifyRequest},
    methods::{teleport::auditlog::v1::audit_log_service, tessera::v1::audit_service},
};
use client::Client;
use domain::{Error, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::wire;

/// How many events one page holds.
const PAGE: usize = 200;

/// On the wire 0 is oldest first and 1 newest first, whatever the names in the schema say.
const NEWEST_FIRST: i32 = 1;

/// Which events.
pub(crate) struct Search {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) types: Vec<String>,
    pub(crate) limit: usize,
    pub(crate) newest_first: bool,
}

/// The events that match, as the objects that the log keeps.
pub(crate) async fn audit_events(client: &Client, search: Search) -> Result<Vec<Value>, Error> {
    let mut found = Vec::new();
    let mut start_key = String::new();
    while found.len() < search.limit {
        let request = GetUnstructuredEventsRequest {
            namespace: "default".to_owned(),
            start_date: Some(wire::timestamp(search.from)),
            end_date: Some(wire::timestamp(search.to)),
            event_types: search.types.clone(),
            limit: i32::try_from((search.limit - found.len()).min(PAGE)).unwrap_or(i32::MAX),
            start_key,
            order: if search.newest_first { NEWEST_FIRST } else { 0 },
        };
        let page = client.call::<audit_log_service::GetUnstructuredEvents>(request).await?;
        found.extend(page.items.into_iter().filter_map(|item| Some(wire::object(item.unstructured?))));
        start_key = page.last_key;
        if start_key.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// What a verification found.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    pub(crate) intact: bool,
    pub(crate) records: u64,
    pub(crate) checkpoints: u64,
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
    pub(crate) complaints: Vec<String>,
}

/// Has the server walk its chain, against a checkpoint when there is one.
pub(crate) async fn audit_verify(client: &Client, checkpoint: Vec<u8>) -> Result<Verified, Error> {
    let answer = client.call::<audit_service::Verify>(VerifyRequest { checkpoint }).await?;
    Ok(Verified {
        intact: answer.intact,
        records: answer.records,
        checkpoints: answer.checkpoints,
        first: answer.first.and_then(wire::time),
        last: answer.last.and_then(wire::time),
        complaints: answer.complaints,
    })
}
