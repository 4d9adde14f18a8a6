//! Cluster-wide settings, by the service that newer clients use and by the one call that they still make to the older one.

use api::{
    convert::{
        Wire, audit_config, auth_preference as preference, networking_config as networking,
        session_recording_config as recording,
    },
    methods::{
        proto::auth_service,
        teleport::clusterconfig::v1::cluster_config_service::{
            GetAuthPreference, GetClusterAuditConfig, GetClusterNetworkingConfig, GetSessionRecordingConfig,
            ResetAuthPreference, ResetClusterNetworkingConfig, ResetSessionRecordingConfig, UpdateAuthPreference,
            UpdateClusterNetworkingConfig, UpdateSessionRecordingConfig, UpsertAuthPreference,
            UpsertClusterNetworkingConfig, UpsertSessionRecordingConfig,
        },
    },
};
use auth::{
    Operation,
    cluster_config::{read::read, reset::reset, update::update, upsert::upsert},
};
use domain::{
    Error,
    resources::{AuditConfig, AuthPreference, NetworkingConfig, SessionRecordingConfig},
};

use crate::dispatch::{Row, Who, unary};

const READ: Operation = Operation::ReadClusterConfig;
const CHANGE: Operation = Operation::UpdateClusterConfig;

pub(crate) fn rows() -> Vec<Row> {
    [preference_rows(), networking_rows(), recording_rows(), audit_rows()].into_iter().flatten().collect()
}

/// The resource that a request carries.
fn carried<T: Wire<W>, W>(field: &str, message: Option<W>) -> Result<T, Error> {
    let message = message.ok_or_else(|| Error::invalid(format!("{field}: is needed")))?;
    T::from_wire(message)
}

fn preference_rows() -> Vec<Row> {
    const FIELD: &str = "auth_preference";
    vec![
        unary::<GetAuthPreference, _, _>(Who::Authenticated, READ, |context, _| async move {
            read::<AuthPreference>(&context.auth, &context.caller).await.map(|stored| preference::to_wire(&stored))
        }),
        unary::<UpdateAuthPreference, _, _>(Who::Authenticated, CHANGE, |context, request| async move {
            let wanted: AuthPreference = carried(FIELD, request.auth_preference)?;
            update(&context.auth, &context.caller, wanted).await.map(|stored| preference::to_wire(&stored))
        }),
        unary::<UpsertAuthPreference, _, _>(Who::Authenticated, CHANGE, |context, request| async move {
            let wanted: AuthPreference = carried(FIELD, request.auth_preference)?;
            upsert(&context.auth, &context.caller, wanted).await.map(|stored| preference::to_wire(&stored))
        }),
        unary::<ResetAuthPreference, _, _>(Who::Authenticated, CHANGE, |context, _| async move {
            reset::<AuthPreference>(&context.auth, &context.caller).await.map(|stored| preference::to_wire(&stored))
        }),
    ]
}

fn networking_rows() -> Vec<Row> {
    const FIELD: &str = "cluster_network_config";
    vec![
        unary::<GetClusterNetworkingConfig, _, _>(Who::Authenticated, READ, |context, _| async move {
            read::<NetworkingConfig>(&context.auth, &context.caller).await.map(|stored| networking::to_wire(&stored))
        }),
        unary::<UpdateClusterNetworkingConfig, _, _>(Who::Authenticated, CHANGE, |context, request| async move {
            let wanted: NetworkingConfig = carried(FIELD, request.cluster_network_config)?;
            update(&context.auth, &context.caller, wanted).await.map(|stored| networking::to_wire(&stored))
        }),
        unary::<UpsertClusterNetworkingConfig, _, _>(Who::Authenticated, CHANGE, |context, request| async move {
            let wanted: NetworkingConfig = carried(FIELD, request.cluster_network_config)?;
            upsert(&context.auth, &context.caller, wanted).await.map(|stored| networking::to_wire(&stored))
        }),
        unary::<ResetClusterNetworkingConfig, _, _>(Who::Authenticated, CHANGE, |context, _| async move {
            reset::<NetworkingConfig>(&context.auth, &context.caller).await.map(|stored| networking::to_wire(&stored))
        }),
    ]
}

fn recording_rows() -> Vec<Row> {
    const FIELD: &str = "session_recording_config";
    vec![
        unary::<GetSessionRecordingConfig, _, _>(Who::Authenticated, READ, |context, _| async move {
            read::<SessionRecordingConfig>(&context.auth, &context.caller)
                .await
                .map(|stored| recording::to_wire(&stored))
        }),
        unary::<UpdateSessionRecordingConfig, _, _>(Who::Authenticated, CHANGE, |context, request| async move {
            let wanted: SessionRecordingConfig = carried(FIELD, request.session_recording_config)?;
            update(&context.auth, &context.caller, wanted).await.map(|stored| recording::to_wire(&stored))
        }),
        unary::<UpsertSessionRecordingConfig, _, _>(Who::Authenticated, CHANGE, |context, request| async move {
            let wanted: SessionRecordingConfig = carried(FIELD, request.session_recording_config)?;
            upsert(&context.auth, &context.caller, wanted).await.map(|stored| recording::to_wire(&stored))
        }),
        unary::<ResetSessionRecordingConfig, _, _>(Who::Authenticated, CHANGE, |context, _| async move {
            reset::<SessionRecordingConfig>(&context.auth, &context.caller)
                .await
                .map(|stored| recording::to_wire(&stored))
        }),
    ]
}

fn audit_rows() -> Vec<Row> {
    vec![
        unary::<GetClusterAuditConfig, _, _>(Who::Authenticated, READ, |context, _| async move {
            read::<AuditConfig>(&context.auth, &context.caller).await.map(|stored| audit_config::to_wire(&stored))
        }),
        unary::<auth_service::GetClusterAuditConfig, _, _>(Who::Authenticated, READ, |context, ()| async move {
            read::<AuditConfig>(&context.auth, &context.caller).await.map(|stored| audit_config::to_wire(&stored))
        }),
    ]
}
