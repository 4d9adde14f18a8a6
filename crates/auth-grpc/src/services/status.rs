//! How the cluster is.

use api::{
    convert::timestamp,
    r#gen::tessera::v1::{AuthorityStatus, ReadinessReason, StatusResponse},
    methods::tessera::v1::cluster_service::Status,
};
use auth::{
    Operation,
    status::{self, AuthorityKey, status},
};

use crate::{
    dispatch::{Row, Who, unary},
    metadata::API_VERSION,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![unary::<Status, _, _>(Who::Authenticated, Operation::ReadStatus, |context, _| async move {
        status(&context.auth, &context.caller).await.map(|status| encode(&status))
    })]
}

fn encode(status: &status::Status) -> StatusResponse {
    let reason = |reason: &status::Reason| ReadinessReason {
        component: reason.component.to_owned(),
        ready: reason.ready,
        text: reason.text.clone(),
    };
    StatusResponse {
        cluster_name: status.cluster.clone(),
        version: API_VERSION.to_owned(),
        server_time: Some(timestamp(status.now)),
        started_at: Some(timestamp(status.started_at)),
        rolled_back_at: status.rolled_back_at.map(timestamp),
        ready: status.is_ready(),
        reasons: status.reasons.iter().map(reason).collect(),
        authorities: status.authorities.iter().map(authority).collect(),
        ca_pins: status.pins.clone(),
        signature_algorithm_suite: status.suite.as_str().to_owned(),
    }
}

fn authority(key: &AuthorityKey) -> AuthorityStatus {
    AuthorityStatus {
        r#type: key.ca_type.as_str().to_owned(),
        state: if key.is_active { "active" } else { "additional" }.to_owned(),
        r#use: key.key_use.to_owned(),
        algorithm: key.public.algorithm().to_string(),
        fingerprint: key.fingerprint(),
        not_before: key.validity.map(|(begin, _)| timestamp(begin)),
        not_after: key.validity.map(|(_, end)| timestamp(end)),
    }
}
