//! Renewal within the grace: a bot whose certificate ended a short while ago proves that it has the key.
//!
//! The signature covers a nonce of ours and the whole question with both new keys, so nothing that is overheard can be
//! used again or for other keys.

use clock::Timestamp;
use crypto::{PublicKey, x509};
use domain::{Error, error::Reason};

use super::renew::{Renewal, renew};
use crate::{
    Auth, Caller, Issued,
    caller::{issued_at, useless},
};

/// Length of the nonce that the server sends first.
pub const NONCE_BYTES: usize = 32;

/// Begins what is signed, so that the signature is good for nothing else.
const DOMAIN: &[u8] = b"tessera-grace-v1";

/// What a bot sends.
#[derive(Debug)]
pub struct GraceRequest {
    /// The certificate that ended, DER.
    pub certificate: Vec<u8>,
    /// The question as it was signed.
    pub signed_question: Vec<u8>,
    /// The signature by the certificate's key.
    pub signature: Vec<u8>,
    /// The new X.509 key, from the question.
    pub tls_key: PublicKey,
    /// The new SSH key, from the question.
    pub ssh_key: PublicKey,
    /// When the new certificates are to end, from the question.
    pub expires: Option<Timestamp>,
}

/// The bytes that the bot signs.
pub fn signed_bytes(cluster: &str, nonce: &[u8], question: &[u8]) -> Vec<u8> {
    [DOMAIN, cluster.as_bytes(), nonce, &crypto::hash::sha256(question)].concat()
}

impl Auth {
    /// A nonce for one renewal within the grace.
    pub fn nonce(&self) -> [u8; NONCE_BYTES] {
        self.random.bytes()
    }
}

/// Renews a bot's identity with a certificate that has ended, or is about to.
///
/// # Errors
/// Denied when the certificate is not a bot's of this cluster, ended longer ago than the grace, or did not sign; else as
/// [`renew`].
pub async fn renew_in_grace(
    auth: &Auth,
    caller: &Caller,
    nonce: &[u8; NONCE_BYTES],
    request: GraceRequest,
) -> Result<Issued, Error> {
    let certificate = x509::Certificate::from_der(&request.certificate).map_err(|_| useless())?;
    let (identity, from_host_authority) = auth.trusted_identity(&certificate)?;
    if from_host_authority || !identity.renewable || identity.bot_instance_id.is_empty() {
        return Err(useless());
    }
    auth.require_user_of(&identity, &certificate)?;
    let key = certificate.public_key().map_err(|_| useless())?;
    let message = signed_bytes(auth.cluster(), nonce, &request.signed_question);
    key.verify(&message, &request.signature).map_err(|_| useless())?;
    let (now, end) = (auth.clock.now(), certificate.not_after());
    let grace = auth.config.bot_renewal_grace;
    if now >= end.saturating_add(grace).unwrap_or(Timestamp::MAX) {
        let hours = grace.as_secs() / 3600;
        return Err(Error::denied(format!(
            "access denied: the bot's certificate ended at {end}, longer ago than the grace of {hours} h; it needs a new token: \
             tctl bots instances add {}",
            identity.bot_name
        ))
        .because(Reason::GraceOver));
    }
    auth.refuse_locked(&identity)?;
    let renewal = Renewal {
        identity: &identity,
        presented_until: end,
        presented_from: issued_at(&certificate),
        tls_key: &request.tls_key,
        ssh_key: &request.ssh_key,
        expires: request.expires,
        in_grace: end <= now,
    };
    renew(auth, caller, renewal).await
}
