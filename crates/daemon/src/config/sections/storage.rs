//! `teleport.storage`: where resources and the audit log are kept, and the keys that seal CA keys.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use domain::form::duration;
use serde::{Serialize, Serializer};

use super::auth_service::optional_duration;
use crate::config::{fields::Fields, schema::Schema};

/// Where resources and the audit log are kept.
#[derive(Clone, Debug, Serialize)]
pub struct Storage {
    /// Which adapter.
    #[serde(rename = "type")]
    pub kind: StorageType,
    /// The directory of the database; below the data directory unless named.
    pub path: PathBuf,
    /// Files with keys that seal CA keys: the first seals, all open. Empty: one is made in the data directory.
    pub sealing_keys: Vec<PathBuf>,
    /// Where audit events go besides the store.
    pub audit_events_uri: Vec<AuditSink>,
    /// How long audit events are kept in the store; for ever unless said.
    #[serde(serialize_with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub audit_retention_period: Option<Duration>,
}

/// The shortest retention: a slip of a unit must not cost the log, and a copy elsewhere that does not work for a while must
/// not miss anything.
const SHORTEST_RETENTION: Duration = Duration::from_secs(24 * 3600);

/// A storage adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageType {
    /// One file, embedded.
    #[default]
    Sqlite,
    /// Nothing survives; for tests.
    Memory,
}

/// A place that audit events are copied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditSink {
    /// One JSON object a line, to standard output.
    Stdout,
    /// Files in a directory.
    File(PathBuf),
}

impl Serialize for AuditSink {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            AuditSink::Stdout => serializer.serialize_str("stdout://"),
            AuditSink::File(path) => serializer.collect_str(&format_args!("file://{}", path.display())),
        }
    }
}

#[derive(Clone, Copy)]
enum Choice {
    Known(StorageType),
    Later(&'static str),
}

const TYPES: [(&str, Choice); 9] = [
    ("sqlite", Choice::Known(StorageType::Sqlite)),
    ("dir", Choice::Known(StorageType::Sqlite)),
    ("memory", Choice::Known(StorageType::Memory)),
    ("postgresql", Choice::Later("postgresql")),
    ("etcd", Choice::Later("etcd")),
    ("cockroachdb", Choice::Later("cockroachdb")),
    ("dynamodb", Choice::Later("dynamodb")),
    ("firestore", Choice::Later("firestore")),
    ("aurora_dsql", Choice::Later("aurora_dsql")),
];

/// Keys of adapters that do not exist yet; they mean nothing to the one that is used.
const OTHERS: &[(&str, Schema)] = &[
    // etcd
    ("peers", Schema::Texts),
    ("prefix", Schema::Text),
    ("username", Schema::Text),
    ("password_file", Schema::Text),
    ("insecure", Schema::Flag),
    ("tls_cert_file", Schema::Text),
    ("tls_key_file", Schema::Text),
    ("tls_ca_file", Schema::Text),
    ("etcd_max_client_msg_size_bytes", Schema::Number),
    // PostgreSQL, CockroachDB
    ("conn_string", Schema::Text),
    ("change_feed_conn_string", Schema::Text),
    ("change_feed_poll_interval", Schema::Duration),
    ("change_feed_batch_size", Schema::Number),
    ("auth_mode", Schema::Text),
    ("gcp_connection_name", Schema::Text),
    ("gcp_ip_type", Schema::Text),
    ("expiry_interval", Schema::Duration),
    ("expiry_batch_size", Schema::Number),
    ("disable_expiry", Schema::Flag),
    ("ttl_job_cron", Schema::Text),
    ("wal2json", Schema::Any),
    // DynamoDB
    ("region", Schema::Text),
    ("table_name", Schema::Text),
    ("access_key", Schema::Text),
    ("secret_key", Schema::Text),
    ("billing_mode", Schema::Text),
    ("auto_scaling", Schema::Any),
    ("continuous_backups", Schema::Flag),
    ("read_capacity_units", Schema::Number),
    ("write_capacity_units", Schema::Number),
    ("read_min_capacity", Schema::Number),
    ("read_max_capacity", Schema::Number),
    ("read_target_value", Schema::Text),
    ("write_min_capacity", Schema::Number),
    ("write_max_capacity", Schema::Number),
    ("write_target_value", Schema::Text),
    ("retention_period", Schema::Text),
    ("poll_stream_period", Schema::Duration),
    // Firestore
    ("collection_name", Schema::Text),
    ("project_id", Schema::Text),
    ("database_id", Schema::Text),
    ("credentials_path", Schema::Text),
    ("purge_expired_documents_poll_interval", Schema::Duration),
    ("retry_period", Schema::Duration),
    ("disable_expired_document_purge", Schema::Flag),
    ("endpoint", Schema::Text),
];

pub(super) fn read(fields: Fields<'_>, data_dir: &Path) -> Storage {
    let kind = match fields.choice("type", &TYPES) {
        Some(Choice::Known(kind)) => kind,
        Some(Choice::Later(name)) => {
            fields.refuse("type", format!("storage type \"{name}\" is not supported yet"), "write \"sqlite\"");
            StorageType::default()
        }
        None => StorageType::default(),
    };
    for (key, schema) in OTHERS {
        fields.ineffective(key, schema);
    }
    for (key, safe) in [("sync", "full"), ("journal", "wal")] {
        if fields.text(key).is_some_and(|value| !value.eq_ignore_ascii_case(safe)) {
            fields.warn(key, format!("has no effect: a commit is always durable ({safe})"));
        }
    }
    fields.unsupported("audit_sessions_uri", &Schema::Text, "remove this key: session recordings come later");
    let storage = Storage {
        kind,
        path: fields.text("path").map_or_else(|| data_dir.join("backend"), PathBuf::from),
        sealing_keys: fields.texts("sealing_keys").unwrap_or_default().into_iter().map(PathBuf::from).collect(),
        audit_events_uri: sinks(&fields),
        audit_retention_period: retention(&fields),
    };
    fields.finish();
    storage
}

fn retention(fields: &Fields<'_>) -> Option<Duration> {
    let kept = fields.duration("audit_retention_period").filter(|kept| !kept.is_zero())?;
    if kept < SHORTEST_RETENTION {
        let found = duration::format(kept);
        fields.refuse(
            "audit_retention_period",
            format!("must be at least 24h, found {found}"),
            "write for example \"365d\"",
        );
    }
    Some(kept)
}

fn sinks(fields: &Fields<'_>) -> Vec<AuditSink> {
    let mut sinks = Vec::new();
    for uri in fields.texts("audit_events_uri").unwrap_or_default() {
        if let Some(path) = uri.strip_prefix("file://") {
            sinks.push(AuditSink::File(path.into()));
        } else if uri.starts_with("stdout:") {
            sinks.push(AuditSink::Stdout);
        } else {
            let message = format!("audit sink \"{uri}\" is not supported yet");
            fields.refuse("audit_events_uri", message, "use file:///path or stdout://");
        }
    }
    sinks
}
