//! Joining, and renewing within the grace: what a machine without a valid certificate may do.

use api::{
    r#gen::tessera::v1::{RenewRequest, RenewResponse, RenewalNonce, RenewalQuestion, renew_response::Payload},
    methods::{
        proto::{auth_service::GenerateHostCerts, join_service::RegisterUsingToken},
        tessera::v1::renewal_service::Renew,
    },
};
use auth::{
    Operation,
    certificates::host::HostNames,
    instances::grace::{GraceRequest, NONCE_BYTES, renew_in_grace},
    joining::{
        JoinRequest, Proof,
        host::{self, HostRenewal},
        join,
    },
};
use crypto::SecretString;
use domain::{Error, role::SystemRole};
use futures_util::stream;
use prost::Message as _;
use tonic::Status;

use super::keys::{certs, ssh_key, time, tls_key};
use crate::codec::Requests;
use crate::dispatch::{Answers, Context, Row, Who, both_streams, unary};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        unary::<RegisterUsingToken, _, _>(Who::Anyone, Operation::Join, |context, request| async move {
            let role = system_role(&request.role)?;
            let request = JoinRequest {
                proof: Proof::Token(SecretString::new(request.token)),
                role,
                tls_key: tls_key("PublicTLSKey", &request.public_tls_key)?.ok_or_else(|| missing("PublicTLSKey"))?,
                ssh_key: ssh_key("PublicSSHKey", &request.public_ssh_key)?.ok_or_else(|| missing("PublicSSHKey"))?,
                expires: time(request.expires.as_ref()),
                host: HostNames {
                    host_id: request.host_id,
                    node_name: request.node_name,
                    principals: request.additional_principals,
                    dns_names: request.dns_names,
                },
            };
            join(&context.auth, &context.caller, request).await.map(|issued| certs(&issued))
        }),
        both_streams::<Renew, _, _>(Who::Anyone, Operation::RenewInGrace, renew),
        unary::<GenerateHostCerts, _, _>(
            Who::Authenticated,
            Operation::IssueHostIdentity,
            |context, request| async move {
                let role = system_role(&request.role)?;
                let request = HostRenewal {
                    role,
                    names: HostNames {
                        host_id: request.host_id,
                        node_name: request.node_name,
                        principals: request.additional_principals,
                        dns_names: request.dns_names,
                    },
                    tls_key: tls_key("PublicTLSKey", &request.public_tls_key)?
                        .ok_or_else(|| missing("PublicTLSKey"))?,
                    ssh_key: ssh_key("PublicSSHKey", &request.public_ssh_key)?
                        .ok_or_else(|| missing("PublicSSHKey"))?,
                };
                host::renew(&context.auth, &context.caller, request).await.map(|issued| certs(&issued))
            },
        ),
    ]
}

fn system_role(word: &str) -> Result<SystemRole, Error> {
    SystemRole::parse(word)
        .ok_or_else(|| Error::invalid(format!("Role: {word:?} is no role that a machine can join as")))
}

fn missing(field: &str) -> Error {
    Error::invalid(format!("{field}: a public key is needed"))
}

/// The server speaks first: a nonce; then one request, one answer.
async fn renew(context: Context, mut requests: Requests<RenewRequest>) -> Result<Answers<RenewResponse>, Error> {
    let nonce: [u8; NONCE_BYTES] = context.auth.nonce();
    let first = RenewResponse {
        payload: Some(Payload::Nonce(RenewalNonce {
            nonce: nonce.to_vec(),
            cluster_name: context.auth.cluster().to_owned(),
            server_time: Some(prost_types::Timestamp {
                seconds: context.auth.clock().now().as_second(),
                nanos: context.auth.clock().now().subsec_nanosecond(),
            }),
        })),
    };
    let answer = async move {
        let request = requests.message().await?.ok_or_else(|| Status::invalid_argument("a request is needed"))?;
        answer(&context, &nonce, request).await.map_err(|error| api::status::to_status(&error))
    };
    Ok(Box::pin(futures_util::StreamExt::chain(stream::iter([Ok(first)]), stream::once(answer))))
}

async fn answer(context: &Context, nonce: &[u8; NONCE_BYTES], request: RenewRequest) -> Result<RenewResponse, Error> {
    let question = RenewalQuestion::decode(request.question.as_slice())
        .map_err(|_| Error::invalid("question: is not a RenewalQuestion"))?;
    let request = GraceRequest {
        certificate: request.certificate,
        signature: request.signature,
        signed_question: request.question,
        tls_key: tls_key("tls_public_key", &question.tls_public_key)?.ok_or_else(|| missing("tls_public_key"))?,
        ssh_key: ssh_key("ssh_public_key", &question.ssh_public_key)?.ok_or_else(|| missing("ssh_public_key"))?,
        expires: time(question.expires.as_ref()),
    };
    let issued = renew_in_grace(&context.auth, &context.caller, nonce, request).await?;
    Ok(RenewResponse { payload: Some(Payload::Certs(certs(&issued))) })
}
