//! Where the audit log goes.

use domain::resources::audit_config::{AuditConfig, AuditConfigSpec};

use super::wire::{message, resource};
use crate::r#gen::types;

message! {
    AuditConfigSpec => types::ClusterAuditConfigSpecV2 {
        r#type, region, audit_sessions_uri, audit_events_uri, continuous_backups =
        enable_continuous_backups, auto_scaling = enable_auto_scaling, read_max_capacity, read_min_capacity,
        read_target_value, write_max_capacity, write_min_capacity, write_target_value, retention_period,
        use_fips_endpoint
    }
}

resource!(AuditConfig => types::ClusterAuditConfigV2);
