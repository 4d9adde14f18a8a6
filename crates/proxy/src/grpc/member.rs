//! Who is at the other end: a user, a bot or a host, by a certificate of the cluster.
//!
//! It opens nothing that a TLS connection to the auth service would not: there the client shows its certificate again and
//! is judged by it. We refuse early those whom the auth service would refuse.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use clock::Timestamp;
use crypto::x509::Certificate;
use domain::identity::Identity;
use rbac::locks::LockSubject;
use rustls::ServerConnection;

use crate::{Proxy, ends::Ends, view::Authorities};

/// A client certificate that the handshake has verified.
pub(super) struct Member {
    certificate: Certificate,
    identity: Identity,
    /// The authorities by which it was found good, so that the signature is checked once and again when they change.
    trusted_by: Mutex<Option<Arc<Authorities>>>,
}

impl Member {
    /// What the client has shown; none when it has shown nothing.
    pub(super) fn of(connection: &ServerConnection) -> Option<Self> {
        let certificate = Certificate::from_der(connection.peer_certificates()?.first()?).ok()?;
        let identity = Identity::from_subject(certificate.subject()).ok()?;
        Some(Self { certificate, identity, trusted_by: Mutex::default() })
    }

    /// When the certificate ends.
    pub(super) fn until(&self) -> Timestamp {
        self.certificate.not_after()
    }

    /// Whether it may have anything now; if not, why.
    pub(super) fn check(&self, proxy: &Proxy, ends: Ends) -> Result<(), String> {
        let (now, identity) = (proxy.ports.clock.now(), &self.identity);
        if !self.certificate.is_valid_at(now) {
            return Err("the certificate has expired".to_owned());
        }
        if self.certificate.is_ca() || identity.teleport_cluster != proxy.config.cluster {
            return Err("the certificate is of another cluster".to_owned());
        }
        if !self.is_trusted(proxy) {
            return Err("the certificate's authority is not trusted any more".to_owned());
        }
        // A pin must not be met by what just anybody can claim.
        let address = if ends.client.port() == 0 { ends.counted } else { ends.client.ip() };
        let pinned = &identity.pinned_ip;
        if !pinned.is_empty() && pinned.parse::<IpAddr>().ok() != Some(address.to_canonical()) {
            return Err("the certificate is good from another address only".to_owned());
        }
        let subjects = [Some(LockSubject::of(identity)), LockSubject::behind(identity)];
        subjects.iter().flatten().find_map(|subject| proxy.view.lock_on(subject, now)).map_or(Ok(()), Err)
    }

    fn is_trusted(&self, proxy: &Proxy) -> bool {
        let authorities = proxy.view.authorities();
        let mut trusted_by = self.trusted_by.lock().unwrap_or_else(PoisonError::into_inner);
        if trusted_by.as_ref().is_some_and(|trusted| Arc::ptr_eq(trusted, &authorities)) {
            return true;
        }
        let issuers = if self.identity.system_role().is_some() { &authorities.host } else { &authorities.user };
        if !issuers.iter().any(|authority| self.certificate.verify_signed_by(authority).is_ok()) {
            return false;
        }
        *trusted_by = Some(authorities);
        true
    }
}
