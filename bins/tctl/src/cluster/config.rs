//! The configuration of the cluster: one resource of each kind.

use api::{
    convert::Wire,
    r#gen::teleport::clusterconfig::v1::{
        GetAuthPreferenceRequest, GetClusterAuditConfigRequest, GetClusterNetworkingConfigRequest,
        GetSessionRecordingConfigRequest, ResetAuthPreferenceRequest, ResetClusterNetworkingConfigRequest,
        ResetSessionRecordingConfigRequest, UpdateAuthPreferenceRequest, UpdateClusterNetworkingConfigRequest,
        UpdateSessionRecordingConfigRequest, UpsertAuthPreferenceRequest, UpsertClusterNetworkingConfigRequest,
        UpsertSessionRecordingConfigRequest,
    },
    methods::teleport::clusterconfig::v1::cluster_config_service as rpc,
};
use client::Client;
use domain::{
    Error,
    resources::{AuditConfig, AuthPreference, NetworkingConfig, SessionRecordingConfig},
};

use super::Remote;

macro_rules! singleton {
    ($type:ident, $get:ident $get_request:ident, $update:ident $update_request:ident, $upsert:ident $upsert_request:ident,
     $reset:ident $reset_request:ident, $field:ident) => {
        impl Remote for $type {
            async fn fetch(client: &Client, _: &str) -> Result<Self, Error> {
                Self::from_wire(client.call::<rpc::$get>($get_request {}).await?)
            }

            async fn list(client: &Client, _: bool) -> Result<Vec<Self>, Error> {
                Ok(vec![Self::fetch(client, "").await?])
            }

            async fn update(client: &Client, config: Self) -> Result<(), Error> {
                client.call::<rpc::$update>($update_request { $field: Some(config.to_wire()) }).await.map(drop)
            }

            async fn upsert(client: &Client, config: Self) -> Result<(), Error> {
                client.call::<rpc::$upsert>($upsert_request { $field: Some(config.to_wire()) }).await.map(drop)
            }

            async fn delete(client: &Client, _: &str) -> Result<(), Error> {
                client.call::<rpc::$reset>($reset_request {}).await.map(drop)
            }
        }
    };
}

singleton!(AuthPreference, GetAuthPreference GetAuthPreferenceRequest,
    UpdateAuthPreference UpdateAuthPreferenceRequest, UpsertAuthPreference UpsertAuthPreferenceRequest,
    ResetAuthPreference ResetAuthPreferenceRequest, auth_preference);
singleton!(NetworkingConfig, GetClusterNetworkingConfig GetClusterNetworkingConfigRequest,
    UpdateClusterNetworkingConfig UpdateClusterNetworkingConfigRequest,
    UpsertClusterNetworkingConfig UpsertClusterNetworkingConfigRequest,
    ResetClusterNetworkingConfig ResetClusterNetworkingConfigRequest, cluster_network_config);
singleton!(SessionRecordingConfig, GetSessionRecordingConfig GetSessionRecordingConfigRequest,
    UpdateSessionRecordingConfig UpdateSessionRecordingConfigRequest,
    UpsertSessionRecordingConfig UpsertSessionRecordingConfigRequest,
    ResetSessionRecordingConfig ResetSessionRecordingConfigRequest, session_recording_config);

impl Remote for AuditConfig {
    async fn fetch(client: &Client, _: &str) -> Result<Self, Error> {
        Self::from_wire(client.call::<rpc::GetClusterAuditConfig>(GetClusterAuditConfigRequest {}).await?)
    }

    async fn list(client: &Client, _: bool) -> Result<Vec<Self>, Error> {
        Ok(vec![Self::fetch(client, "").await?])
    }
}
