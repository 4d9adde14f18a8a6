//! What the first start of a cluster makes is on record, like any other change.

use crate::harness::Cluster;

#[tokio::test]
async fn nothing_is_made_at_start_without_a_record() {
    let cluster = Cluster::start().await;
    let events = cluster.all_events().await;
    for (event, times) in [
        ("tessera.cluster.init", 1),
        ("role.created", domain::presets::roles().len()),
        ("auth_preference.update", 1),
        ("cluster_networking_config.update", 1),
        ("session_recording_config.update", 1),
        ("tessera.cluster_audit_config.update", 1),
    ] {
        assert_eq!(events.iter().filter(|found| *found == event).count(), times, "{event}: {events:?}");
    }
}
