//! Events about the cluster's configuration.

use crate::event::events;

events! {
    /// The authentication settings were changed.
    AuthPreferenceUpdate = "auth_preference.update" ["TCAUTH001I"] (status, user, connection) {
        /// Whether the rule "administrators confirm with a second factor" changed (the v18 API's enum).
        admin_actions_mfa_changed: i32,
    }

    /// The networking settings were changed.
    ClusterNetworkingConfigUpdate = "cluster_networking_config.update" ["TCNET002I"] (status, user, connection) {}

    /// The session recording settings were changed.
    SessionRecordingConfigUpdate = "session_recording_config.update" ["TCREC003I"] (status, user, connection) {}

    /// The audit settings were changed. (The v18 API has no event of its own for it.)
    ClusterAuditConfigUpdate = "tessera.cluster_audit_config.update" ["TSR040I"] (status, user, connection) {}

    /// The cluster was made: its name and everything that a first start creates.
    ClusterInit = "tessera.cluster.init" ["TSR041I"] (user) {
        /// The version of the program that made it.
        version: String,
        /// What was created, as `kind/name`.
        created: Vec<String>,
    }
}
