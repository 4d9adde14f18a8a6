//! Certificates that the cluster signs for us.

use std::time::Duration;

use api::{
    r#gen::{proto::UserCertsRequest, teleport::trust::v1::GenerateHostCertRequest},
    methods::{proto::auth_service, teleport::trust::v1::trust_service},
};
use client::Client;
use crypto::PublicKey;
use domain::{Error, Timestamp, role::SystemRole};

use super::{ping, wire};

/// What was signed.
pub(crate) struct Issued {
    /// One line.
    pub(crate) ssh: String,
    /// PEM.
    pub(crate) tls: String,
    /// PEM, each the certificate of an authority that servers have.
    pub(crate) tls_authorities: Vec<String>,
}

/// What a user's certificates shall say.
pub(crate) struct UserCertificates<'a> {
    pub(crate) user: &'a str,
    pub(crate) key: &'a PublicKey,
    pub(crate) expires: Timestamp,
    pub(crate) leaf_cluster: &'a str,
    /// Leave roles and traits out of the SSH certificate, for very old servers.
    pub(crate) old_ssh: bool,
}

/// Has a pair of certificates signed.
pub(crate) async fn sign_user(client: &Client, asked: UserCertificates<'_>) -> Result<Issued, Error> {
    let request = UserCertsRequest {
        username: asked.user.to_owned(),
        expires: Some(wire::timestamp(asked.expires)),
        format: if asked.old_ssh { "oldssh".to_owned() } else { "standard".to_owned() },
        route_to_cluster: asked.leaf_cluster.to_owned(),
        ssh_public_key: asked.key.to_authorized_key().into_bytes(),
        tls_public_key: asked.key.to_pem().into_bytes(),
        ..Default::default()
    };
    let certs = client.call::<auth_service::GenerateUserCerts>(request).await?;
    Ok(Issued {
        ssh: text(certs.ssh)?,
        tls: text(certs.tls)?,
        tls_authorities: certs.tlsca_certs.into_iter().map(text).collect::<Result<_, _>>()?,
    })
}

/// Has an SSH host certificate signed.
pub(crate) async fn sign_host(
    client: &Client,
    names: &[String],
    key: &PublicKey,
    ttl: Duration,
) -> Result<String, Error> {
    let request = GenerateHostCertRequest {
        key: key.to_authorized_key().into_bytes(),
        principals: names.to_vec(),
        cluster_name: ping(client).await?.cluster_name,
        role: SystemRole::Node.as_str().to_owned(),
        ttl: Some(wire::duration(ttl)),
        ..Default::default()
    };
    text(client.call::<trust_service::GenerateHostCert>(request).await?.ssh_certificate)
}

fn text(bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| Error::internal("the server sent a certificate that is no text"))
}
