//! Renewal with a certificate that has ended: the server sends a nonce, the old key signs it together with the question.

use api::{
    r#gen::{
        proto,
        tessera::v1::{RenewRequest, RenewalNonce, RenewalQuestion, renew_response::Payload},
    },
    methods::tessera::v1::renewal_service::Renew,
};
use client::Client;
use crypto::{KeyPair, hash};
use domain::{Error, error::Reason};
use futures_util::stream;
use prost::Message;
use tokio::sync::mpsc;

use super::BotIdentity;

/// What the signature begins with, so that it can never be taken for one over something else.
const CONTEXT: &[u8] = b"tessera-grace-v1";

pub(super) async fn ask(
    client: &Client,
    identity: &BotIdentity,
    key: &KeyPair,
    expires: prost_types::Timestamp,
) -> Result<proto::Certs, Error> {
    let (send, receive) = mpsc::channel::<RenewRequest>(1);
    let requests = stream::unfold(receive, |mut receive| async { receive.recv().await.map(|next| (next, receive)) });
    let mut answers = client.bidirectional::<Renew>(requests).await?;
    let limit = client.config().timeouts.call;
    let clock = client.config().clock.clone();
    let conversation = async {
        let ended = || Error::unavailable("the server ended the renewal before its answer");
        let Some(Payload::Nonce(nonce)) = answers.next().await?.and_then(|answer| answer.payload) else {
            return Err(ended());
        };
        let request = signed(identity, key, &nonce, expires)?;
        send.send(request).await.map_err(|_| ended())?;
        match answers.next().await?.and_then(|answer| answer.payload) {
            Some(Payload::Certs(certs)) => Ok(certs),
            _ => Err(ended()),
        }
    };
    match clock.timeout(limit, conversation).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::unavailable("the renewal was not answered in time")),
    }
}

fn signed(
    identity: &BotIdentity,
    key: &KeyPair,
    nonce: &RenewalNonce,
    expires: prost_types::Timestamp,
) -> Result<RenewRequest, Error> {
    if nonce.cluster_name != identity.cluster() {
        return Err(Error::denied(format!(
            "the server calls itself {:?}, this identity belongs to {:?}",
            nonce.cluster_name,
            identity.cluster()
        ))
        .because(Reason::UntrustedServer));
    }
    let question = RenewalQuestion {
        tls_public_key: key.public().to_pem().into_bytes(),
        ssh_public_key: key.public().to_authorized_key().into_bytes(),
        expires: Some(expires),
    };
    let question = question.encode_to_vec();
    let message = [CONTEXT, identity.cluster().as_bytes(), &nonce.nonce, &hash::sha256(&question)].concat();
    let signature = identity.key().sign(&message);
    let signature = signature.map_err(|error| Error::invalid(format!("the stored key cannot sign: {error}")))?;
    Ok(RenewRequest { certificate: identity.tls().der().to_vec(), question, signature })
}
