//! Settings: read, changed at a known revision or whatever it is, reset; and the file's word stands.

use auth::cluster_config::{read::read, reset::reset, update::update, upsert::upsert};
use domain::{
    error::Kind as ErrorKind,
    metadata::ORIGIN,
    resources::{AuditConfig, AuthPreference, NetworkingConfig, SessionRecordingConfig, role::Rule},
};

use crate::harness::Cluster;

#[tokio::test]
async fn a_setting_is_changed_at_its_revision_only() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut first: AuthPreference = read(auth, &admin).await.unwrap();
    first.spec.message_of_the_day = "hello".into();
    let second = update(auth, &admin, first.clone()).await.unwrap();
    assert_ne!(second.metadata.revision, first.metadata.revision);
    assert_eq!(second.metadata.label(ORIGIN), "dynamic");
    assert_eq!(update(auth, &admin, first.clone()).await.unwrap_err().kind(), ErrorKind::Conflict);
    upsert(auth, &admin, first).await.unwrap();
    let stored: AuthPreference = read(auth, &admin).await.unwrap();
    assert_eq!(stored.spec.message_of_the_day, "hello");
    let back: AuthPreference = reset(auth, &admin).await.unwrap();
    assert_eq!((back.spec.message_of_the_day.as_str(), back.metadata.label(ORIGIN)), ("", "defaults"));
    assert_eq!(cluster.records("auth_preference.update").await.len(), 3);
}

#[tokio::test]
async fn each_setting_has_its_event_and_takes_its_rule() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    reset::<NetworkingConfig>(auth, &admin).await.unwrap();
    reset::<SessionRecordingConfig>(auth, &admin).await.unwrap();
    let events = cluster.events().await;
    for event in ["cluster_networking_config.update", "session_recording_config.update"] {
        assert!(events.contains(&event.to_owned()), "{events:?}");
    }
    let nobody = cluster.person("nobody", vec![]).await;
    read::<AuthPreference>(auth, &nobody).await.expect("everybody must know how to authenticate");
    assert_eq!(read::<AuditConfig>(auth, &nobody).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(reset::<AuthPreference>(auth, &nobody).await.unwrap_err().kind(), ErrorKind::Denied);
    let reader = cluster.person("reader", vec![Rule::new(["cluster_audit_config"], ["read"])]).await;
    read::<AuditConfig>(auth, &reader).await.unwrap();
}

#[tokio::test]
async fn what_the_configuration_file_says_is_not_changed_by_calls() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut fixed: AuthPreference = read(auth, &admin).await.unwrap();
    fixed.metadata.labels.insert(ORIGIN.into(), "config-file".into());
    auth.store().change().upsert(&fixed).unwrap().commit().await.unwrap();
    let fixed: AuthPreference = read(auth, &admin).await.unwrap();
    for result in
        [update(auth, &admin, fixed.clone()).await, upsert(auth, &admin, fixed).await, reset(auth, &admin).await]
    {
        let error = result.unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.message.contains("configuration file"), "{error}");
    }
}

#[tokio::test]
async fn a_setting_that_the_file_no_longer_has_can_be_edited_after_a_restart() {
    let cluster = Cluster::start().await;
    let mut fixed: AuthPreference = read(&cluster.auth, &cluster.admin()).await.unwrap();
    fixed.metadata.labels.insert(ORIGIN.into(), "config-file".into());
    fixed.spec.message_of_the_day = "of the file".into();
    cluster.auth.store().change().upsert(&fixed).unwrap().commit().await.unwrap();
    let (backend, clock) = (std::sync::Arc::clone(&cluster.backend), cluster.clock.clone());
    drop(cluster);
    let cluster = Cluster::over(backend, clock).await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut free: AuthPreference = read(auth, &admin).await.unwrap();
    assert_eq!((free.spec.message_of_the_day.as_str(), free.metadata.label(ORIGIN)), ("", "defaults"));
    free.spec.message_of_the_day = "mine".into();
    update(auth, &admin, free).await.unwrap();
}
