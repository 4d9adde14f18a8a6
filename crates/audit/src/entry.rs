//! From an event to the journal entry that is committed with the change, and back.

use std::sync::Arc;

use bytes::Bytes;
use clock::{Clock, Timestamp};
use crypto::Random;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::JournalEntry;
use uuid::Uuid;

use crate::{AnyEvent, Event, time};

/// Makes journal entries: knows the cluster, the time and where ids come from. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    cluster: Arc<str>,
    clock: Clock,
    random: Random,
}

impl Recorder {
    /// A recorder for one cluster.
    pub fn new(cluster: impl Into<Arc<str>>, clock: Clock, random: Random) -> Self {
        Self { cluster: cluster.into(), clock, random }
    }

    /// The journal entry of an event that happens now.
    pub fn entry(&self, event: &impl Event) -> JournalEntry {
        Entry::new(event, &self.cluster, &self.clock, &self.random)
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The clock that stamps the entries.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

/// One line of the audit log, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The record's id (UUIDv7): the JSON field `uid`.
    pub id: Uuid,
    /// When it happened.
    pub time: Timestamp,
    /// The event's type.
    pub event: String,
    /// The event's code.
    pub code: String,
    /// The cluster.
    pub cluster: String,
    /// The whole record as JSON, byte for byte as it is chained.
    pub json: Bytes,
}

/// The fields that come first in every record, in this order.
#[derive(Serialize)]
struct Header<'a> {
    ei: i64,
    event: &'a str,
    uid: Uuid,
    code: &'a str,
    #[serde(with = "time::millis")]
    time: Timestamp,
    cluster_name: &'a str,
}

#[derive(Serialize)]
struct Written<'a, E> {
    #[serde(flatten)]
    header: Header<'a>,
    #[serde(flatten)]
    event: &'a E,
}

/// What is read back; the event's own fields stay JSON.
#[derive(Deserialize)]
struct Read {
    event: String,
    uid: Uuid,
    #[serde(default)]
    code: String,
    #[serde(with = "time::millis")]
    time: Timestamp,
    #[serde(default)]
    cluster_name: String,
}

/// A stored record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not JSON with an audit record's header.
    #[error("the audit record is not one that this version can read")]
    Malformed(#[source] serde_json::Error),
    /// It has a known type, but not that type's fields.
    #[error("the audit record says {event:?} but has other fields")]
    Fields {
        /// The type that it claims.
        event: String,
        /// What did not fit.
        #[source]
        source: serde_json::Error,
    },
}

impl Entry {
    /// The journal entry of an event that happens now.
    #[allow(clippy::new_ret_no_self)]
    pub fn new(event: &impl Event, cluster: &str, clock: &Clock, random: &Random) -> JournalEntry {
        let time = clock.now();
        let id = random.uuid_v7(time);
        JournalEntry { id, time, value: Bytes::from(encode(event, id, time, cluster)) }
    }

    /// Reads a stored record's header.
    ///
    /// # Errors
    /// The record is malformed.
    pub fn read(json: Bytes) -> Result<Self, ReadError> {
        let read: Read = serde_json::from_slice(&json).map_err(ReadError::Malformed)?;
        let Read { event, uid, code, time, cluster_name } = read;
        Ok(Self { id: uid, time, event, code, cluster: cluster_name, json })
    }

    /// The record as a JSON value, for the untyped calls of the API.
    ///
    /// # Errors
    /// The record is malformed.
    pub fn value(&self) -> Result<Value, ReadError> {
        serde_json::from_slice(&self.json).map_err(ReadError::Malformed)
    }

    /// The typed event; `None` when this version does not know its type.
    ///
    /// # Errors
    /// The fields do not fit the type.
    pub fn decode(&self) -> Result<Option<AnyEvent>, ReadError> {
        AnyEvent::from_json(&self.event, self.value()?)
            .map_err(|source| ReadError::Fields { event: self.event.clone(), source })
    }
}

/// The record's JSON, header first.
pub(crate) fn encode<E: Event>(event: &E, id: Uuid, time: Timestamp, cluster: &str) -> Vec<u8> {
    let header = Header { ei: 0, event: E::NAME, uid: id, code: event.code(), time, cluster_name: cluster };
    // Serialization into memory fails only for map keys that are no strings; `events!` has none, and a test writes
    // every event of the catalogue.
    serde_json::to_vec(&Written { header, event }).unwrap_or_else(|error| {
        tracing::error!(event = E::NAME, %error, "audit event could not be written as JSON; only its header is kept");
        format!(r#"{{"ei":0,"event":"{}","uid":"{id}","code":"{}","time":"{time:.3}"}}"#, E::NAME, event.code())
            .into_bytes()
    })
}
