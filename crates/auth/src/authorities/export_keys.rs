//! The one way on which private keys of authorities leave the server.

use audit::{ResourceMetadata, Status, events::cert::AuthorityExport};
use crypto::SecretString;
use domain::{Error, ca::CaType, resources::CertAuthority};
use keystore::{KeyKind, KeyUse};

use super::parse;
use crate::{Auth, Caller, failure::internal};

/// A key pair in the clear.
#[derive(Debug)]
pub struct ExportedKey {
    /// `ssh`, `tls` or `jwt`.
    pub key_use: &'static str,
    /// An authorized_keys line, a certificate as PEM, or a public key as PEM.
    pub public: String,
    /// The private key as PEM.
    pub private: SecretString,
}

/// Hands out the private keys of an authority, to the administrator of this machine alone. Both the success and the refusal
/// are audited, the success before anything is handed out.
///
/// # Errors
/// Denied to everybody else; invalid for an unknown type; whatever the key store says.
pub async fn export_keys(auth: &Auth, caller: &Caller, ca_type: &str) -> Result<Vec<ExportedKey>, Error> {
    let ca_type = parse(ca_type)?;
    if !caller.is_local_admin() {
        record(auth, caller, ca_type, Status::failed("not on the auth server's host")).await?;
        return Err(Error::denied(
            "access denied: private keys are handed out on the auth server's host only; run tctl there",
        ));
    }
    let authority = auth.store.repository::<CertAuthority>().fetch_in(ca_type.as_str(), auth.cluster()).await?;
    match export(auth, &authority).await {
        Ok(keys) => {
            record(auth, caller, ca_type, Status::succeeded()).await?;
            Ok(keys)
        }
        Err(error) => {
            record(auth, caller, ca_type, Status::failed(&error)).await?;
            Err(error)
        }
    }
}

async fn export(auth: &Auth, authority: &CertAuthority) -> Result<Vec<ExportedKey>, Error> {
    let stored = ca::authority::stored_keys(authority)
        .map_err(|error| internal("a certificate authority cannot be read", error))?;
    let certificates = super::certificates(authority)?;
    let mut keys = Vec::with_capacity(stored.len());
    for key in stored {
        let pair = auth.keystore.export_key(&key).await.map_err(|error| internal("a key cannot be exported", error))?;
        let of_key = |certificate: &&crypto::x509::Certificate| {
            certificate.public_key().is_ok_and(|public| public == key.public)
        };
        let (key_use, public) = match key.key_use {
            KeyUse::Authority(_, KeyKind::Tls) => {
                ("tls", certificates.iter().find(of_key).map(crypto::x509::Certificate::to_pem).unwrap_or_default())
            }
            KeyUse::Authority(_, KeyKind::Ssh) => ("ssh", key.public.to_authorized_key() + "\n"),
            KeyUse::Authority(_, KeyKind::Jwt)
            | KeyUse::AuditCheckpoints
            | KeyUse::AcmeAccount
            | KeyUse::PublicCertificate => ("jwt", key.public.to_pem()),
        };
        let private = pair.to_pem().map_err(|error| internal("a key cannot be written", error))?;
        keys.push(ExportedKey { key_use, public, private });
    }
    Ok(keys)
}

async fn record(auth: &Auth, caller: &Caller, ca_type: CaType, status: Status) -> Result<(), Error> {
    let event = AuthorityExport {
        status,
        resource: ResourceMetadata::new(auth.cluster(), None, caller.name()),
        user: caller.user_metadata(),
        connection: caller.connection(),
        ca_type: ca_type.as_str().to_owned(),
    };
    auth.store.change().event(&event).commit().await.map(|_| ())
}
