//! What anyone may know about the cluster.

use api::{
    r#gen::proto::{Features, GetClusterCaCertResponse, GetDomainNameResponse, PingResponse},
    methods::proto::auth_service::{GetClusterCaCert, GetDomainName, Ping},
};
use auth::Operation;

use crate::{
    dispatch::{Row, Who, unary},
    metadata::API_VERSION,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        unary::<Ping, _, _>(Who::Anyone, Operation::Ping, |context, _| async move {
            let preference = context.auth.cache().snapshot().auth_preference();
            let suite = preference.map(|preference| preference.spec.signature_algorithm_suite).unwrap_or_default();
            // Who shows no identity does not learn from us what there is, and costs no read of the store.
            let proxy_public_addr = match context.caller.is_anonymous() {
                true => String::new(),
                false => auth::proxies::public_address(&context.auth).await?.unwrap_or_default(),
            };
            Ok(PingResponse {
                cluster_name: context.auth.cluster().to_owned(),
                server_version: API_VERSION.to_owned(),
                server_features: Some(features()),
                proxy_public_addr,
                remote_addr: context.peer.remote().to_owned(),
                signature_algorithm_suite: suite.number(),
                ..Default::default()
            })
        }),
        unary::<GetDomainName, _, _>(Who::Anyone, Operation::ReadDomainName, |context, ()| async move {
            Ok(GetDomainNameResponse { domain_name: context.auth.cluster().to_owned() })
        }),
        unary::<GetClusterCaCert, _, _>(Who::Anyone, Operation::ReadClusterCa, |context, ()| async move {
            let pem: String = context.auth.host_certificates()?.iter().map(|ca| ca.to_pem()).collect();
            Ok(GetClusterCaCertResponse { tlsca: pem.into_bytes() })
        }),
    ]
}

/// What is built in: everything that others sell.
fn features() -> Features {
    Features {
        app: true,
        db: true,
        kubernetes: true,
        access_controls: true,
        advanced_access_workflows: true,
        hsm: true,
        ..Default::default()
    }
}
