//! Sessions from the auth service.

use std::sync::Arc;

use api::{
    r#gen::{
        proto::DeleteAppSessionRequest,
        tessera::v1::{self as wire, FetchAppSessionRequest},
    },
    methods::{proto::auth_service::DeleteAppSession, tessera::v1::app_sessions::Fetch},
};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use client::Client;
use clock::Timestamp;
use crypto::{KeyPair, Secret, SecretString, tls::CertificateChain, x509::Certificate};
use domain::Error;

use crate::sessions::{AppSession, Holder, Sessions};

/// Asks over whichever client the proxy uses now.
pub(crate) struct GrpcSessions(pub(crate) Arc<ArcSwap<Client>>);

#[async_trait]
impl Sessions for GrpcSessions {
    async fn fetch(&self, id: &SecretString) -> Result<AppSession, Error> {
        let request = FetchAppSessionRequest { session_id: id.expose().clone() };
        session(self.0.load().call::<Fetch>(request).await?)
    }

    async fn end(&self, id: &SecretString) -> Result<(), Error> {
        let request = DeleteAppSessionRequest { session_id: id.expose().clone() };
        self.0.load().call::<DeleteAppSession>(request).await
    }
}

fn session(message: wire::AppSession) -> Result<AppSession, Error> {
    let broken = |what: &str| Error::internal(format!("the auth service sent a session with a bad {what}"));
    let key = Secret::new(message.private_key);
    let key = KeyPair::from_pkcs8_der(key.expose()).map_err(|_| broken("key"))?;
    let certificate = Certificate::from_der(&message.certificate).map_err(|_| broken("certificate"))?;
    let hash = |bytes: Vec<u8>| bytes.try_into().map_err(|_| broken("holder"));
    let ends = message.not_after.ok_or_else(|| broken("end"))?;
    Ok(AppSession {
        user: message.user,
        app: message.app_name,
        public_addr: message.public_addr,
        target_port: u16::try_from(message.target_port).map_err(|_| broken("port"))?,
        expires: Timestamp::new(ends.seconds, ends.nanos).map_err(|_| broken("end"))?,
        holder: match message.holder.ok_or_else(|| broken("holder"))? {
            wire::app_session::Holder::ClientKey(key) => Holder::ClientKey(hash(key)?),
            wire::app_session::Holder::BearerHash(bearer) => Holder::Bearer(hash(bearer)?),
        },
        certificate: CertificateChain::new(&[certificate], &key).map_err(|_| broken("key"))?,
    })
}
