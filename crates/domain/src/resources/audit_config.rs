//! `cluster_audit_config` v2: where audit events go. The server's file decides; over the API it is only read.

use std::time::Duration;

use crate::{
    Error,
    form::{duration, scalar},
    resources::resource,
};

resource!(
    /// Where audit events go.
    AuditConfig(AuditConfig), "v2" of ["v2"], AuditConfigSpec
);

document! {
    /// Where audit events go.
    pub struct AuditConfigSpec {
        r#type: String,
        region: String,
        audit_sessions_uri: String,
        #[serde(with = "scalar::strings")]
        audit_events_uri: Vec<String>,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        continuous_backups: bool,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        auto_scaling: bool,
        read_max_capacity: i64,
        read_min_capacity: i64,
        read_target_value: f64,
        write_max_capacity: i64,
        write_min_capacity: i64,
        write_target_value: f64,
        #[serde(with = "duration::go")]
        +retention_period: Duration,
        /// 0 unset, 1 enabled, 2 disabled.
        use_fips_endpoint: i32,
    }
}

impl AuditConfig {
    fn fill(&mut self) {}

    #[allow(clippy::unused_self)] // the shape of every resource
    const fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}
