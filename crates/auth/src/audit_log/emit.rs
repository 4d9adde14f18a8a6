//! An agent reports what happened at it.

use bytes::Bytes;
use domain::{Error, Kind, role::SystemRole};
use rbac::{RuleContext, Verb};
use serde_json::{Map, Value};
use storage::JournalEntry;

use crate::{Auth, Caller, Operation, decide::Asked, failure::internal};

/// The largest event: an agent's report is some kilobytes, and one may not fill the journal.
const LARGEST: usize = 64 * 1024;

/// Records an event that a part of the system reports.
///
/// What this server records itself nobody may report, or an agent could forge who was made an administrator. Time, id and
/// cluster are always ours.
///
/// # Errors
/// Denied to people and bots, for another host's name, and for events of our own; limit for what is too large.
pub async fn emit(auth: &Auth, caller: &Caller, mut event: Map<String, Value>) -> Result<(), Error> {
    let asked = Asked { operation: Operation::EmitEvent, kind: Kind::Event, verb: Verb::Create, name: "" };
    let Some(role) = caller.system_role() else { return Err(Error::denied("access denied")) };
    auth.require(caller, &asked, &RuleContext::NONE)?;
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = text("event");
    if name.is_empty() {
        return Err(Error::invalid("the event has no type"));
    }
    if audit::CATALOGUE.iter().any(|declared| declared.name == name) {
        return Err(Error::denied(format!(
            "access denied: events of type {name} are recorded by the auth service alone"
        )));
    }
    let server = text("server_id");
    let is_own = server.is_empty() || caller.identity().host_id() == Some(server.as_str());
    if !is_own && !matches!(role, SystemRole::Admin | SystemRole::Auth) {
        return Err(Error::denied("access denied: an agent reports for its own host only"));
    }
    let time = auth.clock.now();
    let id = auth.random.uuid_v7(time);
    event.insert("uid".into(), id.to_string().into());
    event.insert("time".into(), format!("{time:.3}").into());
    event.insert("cluster_name".into(), auth.cluster().into());
    event.entry("ei").or_insert_with(|| 0.into());
    let json = serde_json::to_vec(&event).map_err(|error| internal("an event cannot be written", error))?;
    if json.len() > LARGEST {
        return Err(Error::limit(format!("the event is larger than {LARGEST} bytes")));
    }
    let entry = JournalEntry { id, time, value: Bytes::from(json) };
    auth.store.change().journal(entry).commit().await.map(|_| ())
}
