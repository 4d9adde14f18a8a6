//! `POST /webapi/host/credentials`: joining, for programs that speak HTTP. The request goes to the auth service as the
//! anonymous one that it is, with our signed word about where it came from; what the auth service says is the answer.

use std::sync::Arc;

use api::{
    r#gen::{proto::Certs, types::RegisterUsingTokenRequest},
    methods::proto::join_service::RegisterUsingToken,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use client::{Client, Credentials, Trust};
use clock::Timestamp;
use domain::{Error, error::Kind};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::{Proxy, body::Body, ends::Ends, forward, pages};

/// More than any request to join has: two keys, a token, names.
const MOST: usize = 256 * 1024;

/// The request as programs write it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    #[serde(rename = "hostID")]
    host_id: String,
    node_name: String,
    role: String,
    token: String,
    #[serde(deserialize_with = "list")]
    additional_principals: Vec<String>,
    #[serde(deserialize_with = "list")]
    dns_names: Vec<String>,
    #[serde(deserialize_with = "bytes")]
    public_tls_key: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    public_ssh_key: Vec<u8>,
    #[serde(rename = "ec2_id", deserialize_with = "bytes")]
    ec2_identity_document: Vec<u8>,
    id_token: String,
    expires: Option<Timestamp>,
    bot_instance_id: String,
    bot_generation: i32,
}

/// Programs write an empty list as `null`.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    STANDARD.decode(text.unwrap_or_default()).map_err(serde::de::Error::custom)
}

impl From<Asked> for RegisterUsingTokenRequest {
    fn from(asked: Asked) -> Self {
        Self {
            host_id: asked.host_id,
            node_name: asked.node_name,
            role: asked.role,
            token: asked.token,
            additional_principals: asked.additional_principals,
            dns_names: asked.dns_names,
            public_tls_key: asked.public_tls_key,
            public_ssh_key: asked.public_ssh_key,
            ec2_identity_document: asked.ec2_identity_document,
            id_token: asked.id_token,
            expires: asked.expires.map(api::convert::timestamp),
            bot_instance_id: asked.bot_instance_id,
            bot_generation: asked.bot_generation,
            ..Self::default()
        }
    }
}

/// Answers a request to join.
pub(super) async fn answer(proxy: &Arc<Proxy>, ends: Ends, request: Request<Incoming>) -> Response<Body> {
    match join(proxy, ends, request).await {
        Ok(certs) => pages::answer(StatusCode::OK, "application/json", certificates(&certs).to_string()),
        Err(error) => {
            tracing::debug!(client = %ends.client, %error, "a join over HTTP was refused");
            refused(&error)
        }
    }
}

async fn join(proxy: &Arc<Proxy>, ends: Ends, request: Request<Incoming>) -> Result<Certs, Error> {
    let limit = proxy.config.limits.header_deadline;
    let body = proxy.ports.clock.timeout(limit, Limited::new(request.into_body(), MOST).collect());
    let body = body.await.map_err(|_| Error::invalid("the request took too long"))?;
    let body = body.map_err(|_| Error::invalid("the request is too large, or broke off"))?.to_bytes();
    // What is wrong is said without the text around it, in which there is a token.
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Error::invalid(format!("the request is no JSON object of the expected form (line {line}, column {column})"))
    })?;
    let header = forward::header(proxy, ends).map_err(|error| Error::internal(error.to_string()))?;
    let (clock, random) = (proxy.ports.clock.clone(), proxy.ports.random.clone());
    let mut config = client::Config::new(proxy.config.auth_addresses.clone(), Credentials::none(), clock, random)
        .with_trust(Trust::Authorities(proxy.host_authorities()));
    config.cluster = Some(proxy.config.cluster.clone());
    config.header = header;
    Client::connect(config).await?.call::<RegisterUsingToken>(asked.into()).await
}

fn certificates(certs: &Certs) -> Value {
    let all = |list: &[Vec<u8>]| list.iter().map(|bytes| STANDARD.encode(bytes)).collect::<Vec<_>>();
    json!({
        "ssh": STANDARD.encode(&certs.ssh),
        "tls": STANDARD.encode(&certs.tls),
        "tls_ca_certs": all(&certs.tlsca_certs),
        "ssh_ca_certs": all(&certs.sshca_certs),
    })
}

fn refused(error: &Error) -> Response<Body> {
    let status = match error.kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::AlreadyExists => StatusCode::CONFLICT,
        Kind::Conflict => StatusCode::PRECONDITION_FAILED,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Limit => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Kind::Unavailable => StatusCode::GATEWAY_TIMEOUT,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    pages::refusal(status, &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_other_programs_write_it() {
        let text = r#"{"hostID":"h","node_name":"n","role":"Bot","token":"t","additional_principals":null,"dns_names":["a"],
            "public_tls_key":"AQI=","public_ssh_key":"Aw==","remote_addr":"6.6.6.6:1","ec2_id":null,"id_token":"",
            "expires":"2026-01-02T03:04:05Z","bot_instance_id":"","bot_generation":0}"#;
        let asked: RegisterUsingTokenRequest = serde_json::from_str::<Asked>(text).unwrap().into();
        assert_eq!((asked.host_id.as_str(), asked.role.as_str(), asked.token.as_str()), ("h", "Bot", "t"));
        assert_eq!((asked.public_tls_key, asked.public_ssh_key), (vec![1, 2], vec![3]));
        assert_eq!(asked.expires.unwrap().seconds, 1_767_323_045);
        assert_eq!(asked.remote_addr, "", "where it comes from is not for the caller to say");
        assert!(serde_json::from_str::<Asked>("{}").is_ok());
    }
}
