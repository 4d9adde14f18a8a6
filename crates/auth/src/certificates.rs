//! Pairs of X.509 and SSH certificates: prepared and linted, recorded, and only then signed.

pub mod host;
mod opened;
pub mod server;
pub mod user;

use std::sync::Arc;

use audit::{
    ClientMetadata,
    events::cert::{CertificateCreate, CertificateIdentity, RouteToApp},
};
use clock::Timestamp;
use crypto::{PublicKey, ssh, x509};
use domain::{
    Error,
    ca::CaType,
    identity::{Identity, UserType},
    resources::{Bot, User, bot_instance::JoinAttrs},
};

use crate::{Auth, Caller, app_sessions::SessionId, failure::internal};
pub(crate) use opened::Opened;

/// What a caller receives: its certificates, and what it needs to trust the cluster.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The X.509 certificate, when a key for it was sent.
    pub tls: Option<x509::Certificate>,
    /// The SSH certificate, when a key for it was sent.
    pub ssh: Option<ssh::Certificate>,
    /// The host CA's certificates.
    pub tls_authorities: Vec<x509::Certificate>,
    /// The host CA's SSH keys.
    pub ssh_authorities: Vec<PublicKey>,
}

/// Certificates that are decided, checked and linted, but not signed: nothing has left the server yet.
pub(crate) struct Pair {
    pub(crate) identity: Identity,
    /// The keys that the certificates name: a rotation between preparing and signing must not bring in others.
    signers: Arc<Signers>,
    serial: String,
    ssh_serial: Option<u64>,
    tls: Option<(Vec<u8>, x509::Body)>,
    ssh: Option<Vec<u8>>,
}

impl Auth {
    /// Builds the to-be-signed bytes of a pair for a user or a bot.
    pub(crate) fn prepare(
        &self,
        identity: Identity,
        tls_key: Option<&PublicKey>,
        ssh_key: Option<&PublicKey>,
        now: Timestamp,
        not_after: Timestamp,
    ) -> Result<Pair, Error> {
        self.refuse_before_user_of(&identity, now)?;
        let signers = self.signers()?;
        let unusable = |error: ca::Error| match error {
            ca::Error::Refused { .. } => Error::invalid(error.to_string()),
            other => internal("the certificate cannot be made", other),
        };
        let mut pair = Pair {
            identity,
            signers: Arc::clone(&signers),
            serial: String::new(),
            ssh_serial: None,
            tls: None,
            ssh: None,
        };
        if let Some(key) = tls_key {
            let template = ca::x509::user_template(&pair.identity, key.clone(), now, not_after);
            let (tbs, body) = ca::x509::prepare(&template, &signers.user_tls, &self.random).map_err(unusable)?;
            pair.serial = body.serial_hex();
            pair.tls = Some((tbs, body));
        }
        if let Some(key) = ssh_key {
            let template = ca::ssh::user_template(&pair.identity, key.clone(), now, not_after, &self.random);
            let body = ca::ssh::to_be_signed(&template, &signers.user_ssh, &self.random).map_err(unusable)?;
            let read = ssh::Certificate::from_unsigned(&body)
                .map_err(|error| internal("the SSH certificate cannot be read back", error))?;
            pair.ssh_serial = Some(read.serial());
            pair.ssh = Some(body);
        }
        Ok(pair)
    }

    /// Signs a pair. The record that limits it must be durable before this is called.
    pub(crate) async fn sign(&self, pair: Pair) -> Result<Issued, Error> {
        let signers = pair.signers;
        let failed = |error: ca::Error| internal("signing failed", error);
        let mut issued = Issued {
            tls: None,
            ssh: None,
            tls_authorities: signers.host_certificates.clone(),
            ssh_authorities: signers.host_ssh_keys.clone(),
        };
        if let Some((tbs, body)) = pair.tls {
            issued.tls =
                Some(ca::x509::sign(&tbs, body, &signers.user_tls.key, &*self.keystore).await.map_err(failed)?);
        }
        if let Some(body) = pair.ssh {
            issued.ssh = Some(ca::ssh::sign(body, &signers.user_ssh, &*self.keystore).await.map_err(failed)?);
        }
        self.metrics.issued(issued.tls.is_some(), issued.ssh.is_some());
        Ok(issued)
    }
}

/// What a bot's own certificate says: its user, its one role, and which instance and generation it is.
pub(crate) fn bot_identity(
    auth: &Auth,
    user: &User,
    bot: &Bot,
    instance: &str,
    generation: u32,
    join_attributes: Option<JoinAttrs>,
    not_after: Timestamp,
) -> Identity {
    Identity {
        username: user.metadata.name.clone(),
        roles: user.spec.roles.clone(),
        traits: user.spec.traits.clone(),
        teleport_cluster: auth.cluster().to_owned(),
        route_to_cluster: auth.cluster().to_owned(),
        renewable: true,
        generation: generation.into(),
        private_key_policy: "none".into(),
        user_type: UserType::Bot,
        bot_name: bot.metadata.name.clone(),
        bot_instance_id: instance.to_owned(),
        join_attributes,
        expires: Some(not_after),
        ..Identity::default()
    }
}

/// The audit event of a pair, committed before the pair is signed.
pub(crate) fn certificate_event(pair: &Pair, caller: &Caller) -> CertificateCreate {
    let identity = &pair.identity;
    CertificateCreate {
        client: ClientMetadata::default(),
        cert_type: "user".into(),
        identity: CertificateIdentity {
            user: identity.username.clone(),
            impersonator: identity.impersonator.clone(),
            roles: identity.roles.clone(),
            usage: identity.usage.clone(),
            logins: identity.principals.clone(),
            kubernetes_groups: identity.kubernetes_groups.clone(),
            kubernetes_users: identity.kubernetes_users.clone(),
            expires: identity.expires,
            route_to_cluster: identity.route_to_cluster.clone(),
            kubernetes_cluster: identity.kubernetes_cluster.clone(),
            traits: identity.traits.clone(),
            route_to_app: route_shown(&identity.route_to_app),
            teleport_cluster: identity.teleport_cluster.clone(),
            client_ip: caller.remote_ip(),
            access_requests: identity.active_requests.clone(),
            disallow_reissue: identity.disallow_reissue,
            prev_identity_expires: identity.previous_identity_expires,
            private_key_policy: identity.private_key_policy.clone(),
            bot_name: identity.bot_name.clone(),
            bot_instance_id: identity.bot_instance_id.clone(),
            join_token_hash: identity.join_token_hash.clone(),
        },
        serial_number: pair.serial.clone(),
        ssh_serial_number: pair.ssh_serial,
        remote_addr: caller.remote().to_owned(),
        generation: identity.renewable.then_some(identity.generation),
    }
}

/// The route as a log may show it: with what the session is called, never with its id.
fn route_shown(route: &domain::identity::RouteToApp) -> Option<RouteToApp> {
    (!route.name.is_empty()).then(|| RouteToApp {
        name: route.name.clone(),
        session_id: SessionId::new(route.session_id.as_str()).shown(),
        public_addr: route.public_addr.clone(),
        cluster_name: route.cluster_name.clone(),
        ..RouteToApp::default()
    })
}

/// The keys that sign, opened once and kept until an authority changes.
pub(crate) struct Signers {
    pub(crate) user_tls: ca::x509::Signer,
    pub(crate) user_ssh: keystore::StoredKey,
    pub(crate) host_tls: ca::x509::Signer,
    pub(crate) host_ssh: keystore::StoredKey,
    pub(crate) jwt: keystore::StoredKey,
    pub(crate) host_certificates: Vec<x509::Certificate>,
    pub(crate) host_ssh_keys: Vec<PublicKey>,
    pub(crate) user_certificates: Vec<x509::Certificate>,
}

impl Signers {
    /// Reads the user and host authorities.
    pub(crate) fn open(auth: &Auth) -> Result<Self, Error> {
        let snapshot = auth.cache.snapshot();
        let authority = |ca_type| {
            snapshot
                .authority(ca_type, auth.cluster())
                .ok_or_else(|| Error::internal(format!("the {ca_type} certificate authority is missing")))
        };
        let unusable = |error: ca::Error| internal("a certificate authority cannot be used", error);
        let (user, host, jwt) = (authority(CaType::User)?, authority(CaType::Host)?, authority(CaType::Jwt)?);
        Ok(Self {
            user_tls: ca::authority::tls_signer(&user).map_err(unusable)?,
            user_ssh: ca::authority::ssh_signer(&user).map_err(unusable)?,
            host_tls: ca::authority::tls_signer(&host).map_err(unusable)?,
            host_ssh: ca::authority::ssh_signer(&host).map_err(unusable)?,
            jwt: ca::authority::jwt_signer(&jwt).map_err(unusable)?,
            host_certificates: ca::authority::trusted_certificates(&host).map_err(unusable)?,
            host_ssh_keys: ca::authority::trusted_ssh_keys(&host).map_err(unusable)?,
            user_certificates: ca::authority::trusted_certificates(&user).map_err(unusable)?,
        })
    }
}
