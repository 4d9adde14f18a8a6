//! Certificate authorities, their private keys for the administrator of this machine, and SSH host certificates.

use api::{
    convert::cert_authority::{from_wire, to_wire},
    r#gen::{
        teleport::trust::v1::{GenerateHostCertResponse, GetCertAuthoritiesResponse},
        tessera::v1::{ExportKeysResponse, ExportedKey},
    },
    methods::{
        teleport::trust::v1::trust_service::{
            DeleteCertAuthority, GenerateHostCert, GetCertAuthorities, GetCertAuthority, RotateCertAuthority,
            RotateExternalCertAuthority, UpsertCertAuthority,
        },
        tessera::v1::keys_service::ExportKeys,
    },
};
use auth::{
    Operation,
    authorities::{
        delete::delete,
        export_keys::export_keys,
        host_certificate::{HostCertificate, host_certificate},
        list::list,
        read::read,
        rotate::rotate,
        upsert::upsert,
    },
};
use domain::{Error, role::SystemRole};

use super::keys::ssh_key;
use crate::dispatch::{Row, Who, unary};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = authority_rows();
    rows.extend(key_rows());
    rows
}

fn authority_rows() -> Vec<Row> {
    vec![
        unary::<GetCertAuthority, _, _>(
            Who::Authenticated,
            Operation::ReadAuthorities,
            |context, request| async move {
                let (ca_type, cluster) = (&request.r#type, &request.domain);
                read(&context.auth, &context.caller, ca_type, cluster, request.include_key)
                    .await
                    .map(|found| to_wire(&found))
            },
        ),
        unary::<GetCertAuthorities, _, _>(
            Who::Authenticated,
            Operation::ReadAuthorities,
            |context, request| async move {
                let found = list(&context.auth, &context.caller, &request.r#type, request.include_key).await?;
                Ok(GetCertAuthoritiesResponse { cert_authorities_v2: found.iter().map(to_wire).collect() })
            },
        ),
        unary::<UpsertCertAuthority, _, _>(
            Who::Authenticated,
            Operation::UpsertAuthority,
            |context, request| async move {
                let authority = request.cert_authority.ok_or_else(|| Error::invalid("cert_authority: is needed"))?;
                upsert(&context.auth, &context.caller, from_wire(authority)?).await.map(|stored| to_wire(&stored))
            },
        ),
        unary::<DeleteCertAuthority, _, _>(
            Who::Authenticated,
            Operation::DeleteAuthority,
            |context, request| async move { delete(&context.auth, &context.caller, &request.r#type, &request.domain).await },
        ),
        unary::<RotateCertAuthority, _, _>(
            Who::Authenticated,
            Operation::UpsertAuthority,
            |context, request| async move {
                rotate(&context.auth, &context.caller, &request.r#type)?;
                Ok(Default::default())
            },
        ),
        unary::<RotateExternalCertAuthority, _, _>(
            Who::Authenticated,
            Operation::UpsertAuthority,
            |context, request| async move {
                let spec = request.cert_authority.and_then(|authority| authority.spec).unwrap_or_default();
                rotate(&context.auth, &context.caller, &spec.r#type)?;
                Ok(Default::default())
            },
        ),
    ]
}

/// What leaves the server signed, or unsealed.
fn key_rows() -> Vec<Row> {
    vec![
        unary::<GenerateHostCert, _, _>(
            Who::Authenticated,
            Operation::IssueHostCertificate,
            |context, request| async move {
                let key = ssh_key("key", &request.key)?.ok_or_else(|| Error::invalid("key: a public key is needed"))?;
                let role = SystemRole::parse(&request.role)
                    .ok_or_else(|| Error::invalid(format!("role: {:?} is no role of a host", request.role)))?;
                if !request.cluster_name.is_empty() && request.cluster_name != context.auth.cluster() {
                    return Err(Error::invalid("cluster_name: certificates are issued for this cluster only"));
                }
                let ttl = api::convert::Wire::from_wire(request.ttl)?;
                let request = HostCertificate {
                    key,
                    host_id: request.host_id,
                    node_name: request.node_name,
                    principals: request.principals,
                    role,
                    ttl,
                };
                let certificate = host_certificate(&context.auth, &context.caller, request).await?;
                Ok(GenerateHostCertResponse { ssh_certificate: (certificate.to_line() + "\n").into_bytes() })
            },
        ),
        unary::<ExportKeys, _, _>(Who::Authenticated, Operation::ExportKeys, |context, request| async move {
            let keys = export_keys(&context.auth, &context.caller, &request.r#type).await?;
            let keys = keys.into_iter().map(|key| ExportedKey {
                r#use: key.key_use.to_owned(),
                public: key.public.into_bytes(),
                private_key: key.private.expose().as_bytes().to_vec(),
            });
            Ok(ExportKeysResponse { keys: keys.collect() })
        }),
    ]
}
