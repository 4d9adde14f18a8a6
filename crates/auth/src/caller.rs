//! Who asks: read from what the peer showed, and checked again on every request of a live connection.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clock::Timestamp;
use crypto::x509;
use domain::{
    Error,
    error::Reason,
    identity::{Identity, UserType},
    role::SystemRole,
};
use rbac::AccessChecker;

use crate::Auth;

/// How much older than its user a certificate may look: its times are whole seconds, and the clocks of two servers differ.
///
/// A certificate that was issued before its user was made belonged to another user of that name, who was removed. What this
/// allows: a user who was removed and made again keeps what was issued in the last seconds before.
const CREATION_LEEWAY: Duration = Duration::from_secs(10);

/// What a peer showed when it connected; verified by the handshake, not yet decided.
#[derive(Debug, Clone)]
pub enum Presented {
    /// Nothing: a stranger.
    Nothing,
    /// It sits on the administrator's socket of this machine.
    LocalAdmin,
    /// A certificate that one of our authorities signed.
    Certificate(Arc<x509::Certificate>),
}

/// Who asks.
#[derive(Debug)]
pub struct Caller {
    identity: Identity,
    access: Arc<AccessChecker>,
    who: Who,
    remote: String,
    /// When the certificate was issued.
    issued_at: Option<Timestamp>,
    /// Set once it is known that nothing is pending for this credential any more; nothing ever will be again.
    has_arrived: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Anonymous,
    LocalAdmin,
    System(SystemRole),
    User,
}

impl Caller {
    /// A peer that showed no certificate.
    pub fn anonymous(remote: impl Into<String>) -> Self {
        Self {
            identity: Identity::default(),
            access: Arc::new(AccessChecker::nobody()),
            who: Who::Anonymous,
            remote: remote.into(),
            issued_at: None,
            has_arrived: AtomicBool::new(false),
        }
    }

    /// The server itself, for what it changes at start: named in the audit log, with no right to ask for anything.
    pub(crate) fn own_process(host_id: &str, cluster: &str) -> Self {
        let identity = Identity {
            username: format!("{host_id}.{cluster}"),
            teleport_cluster: cluster.to_owned(),
            ..Identity::default()
        };
        let access = Arc::new(AccessChecker::nobody());
        Self {
            identity,
            access,
            who: Who::System(SystemRole::Auth),
            remote: "local".to_owned(),
            issued_at: None,
            has_arrived: AtomicBool::new(false),
        }
    }

    /// What the caller's certificate says.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether it is known that the answer which carried this credential has arrived.
    pub(crate) fn has_arrived(&self) -> bool {
        self.has_arrived.load(Ordering::Relaxed)
    }

    /// Remembers that, for as long as this decision about the peer is kept.
    pub(crate) fn note_arrived(&self) {
        self.has_arrived.store(true, Ordering::Relaxed);
    }

    /// When the caller's certificate was issued, if it showed one.
    pub(crate) fn issued_at(&self) -> Option<Timestamp> {
        self.issued_at
    }

    /// What the caller may do.
    pub fn access(&self) -> &AccessChecker {
        &self.access
    }

    /// The same, to be compared: it is another one after any role changed.
    pub(crate) fn shared_access(&self) -> Arc<AccessChecker> {
        Arc::clone(&self.access)
    }

    /// Where the call comes from: an address with port, or `local`.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// The address without its port.
    pub fn remote_ip(&self) -> String {
        self.remote
            .parse::<SocketAddr>()
            .map_or_else(|_| self.remote.clone(), |address| address.ip().to_canonical().to_string())
    }

    /// Whether the address is more than what just anybody can have told a proxy.
    pub(crate) fn has_certain_address(&self) -> bool {
        certain_ip(&self.remote).is_some()
    }

    /// Whether nobody is known.
    pub fn is_anonymous(&self) -> bool {
        self.who == Who::Anonymous
    }

    /// Whether the caller is the administrator of this machine.
    pub fn is_local_admin(&self) -> bool {
        self.who == Who::LocalAdmin
    }

    /// Whether the caller is a person or a bot.
    pub fn is_user(&self) -> bool {
        self.who == Who::User
    }

    /// The part of the system that calls, if it is one.
    pub fn system_role(&self) -> Option<SystemRole> {
        match self.who {
            Who::System(role) => Some(role),
            Who::LocalAdmin => Some(SystemRole::Admin),
            _ => None,
        }
    }

    /// The name that audit events and `created_by` fields carry.
    pub fn name(&self) -> &str {
        &self.identity.username
    }

    /// The part of an audit event that says who acted.
    pub fn user_metadata(&self) -> audit::UserMetadata {
        let user_kind = match (self.who, self.identity.user_type) {
            (Who::Anonymous, _) => audit::UserKind::Unspecified,
            (Who::LocalAdmin | Who::System(_), _) => audit::UserKind::System,
            (Who::User, UserType::Bot) => audit::UserKind::Bot,
            (Who::User, _) => audit::UserKind::Human,
        };
        audit::UserMetadata {
            user: self.identity.username.clone(),
            impersonator: self.identity.impersonator.clone(),
            user_kind,
            bot_name: self.identity.bot_name.clone(),
            bot_instance_id: self.identity.bot_instance_id.clone(),
            user_cluster_name: self.identity.teleport_cluster.clone(),
            user_roles: self.identity.roles.clone(),
            ..audit::UserMetadata::default()
        }
    }

    /// The part of an audit event that says from where.
    pub fn connection(&self) -> audit::ConnectionMetadata {
        audit::ConnectionMetadata::from_remote(self.remote.clone())
    }
}

impl Auth {
    /// Decides who a peer is, now: its certificate has not ended, its authority is still trusted, its user still exists,
    /// and no lock is in force. Called again whenever one of these may have changed.
    ///
    /// # Errors
    /// Denied; the text says which lock is in force, and nothing else that the peer does not know.
    pub fn authenticate(&self, presented: &Presented, remote: &str) -> Result<Caller, Error> {
        match presented {
            Presented::Nothing => Ok(Caller::anonymous(remote)),
            Presented::LocalAdmin => Ok(self.local_admin()),
            Presented::Certificate(certificate) => self.certificate_holder(certificate, remote),
        }
    }

    fn local_admin(&self) -> Caller {
        let identity = Identity {
            username: self.host_name(),
            roles: vec![SystemRole::Admin.as_str().to_owned()],
            teleport_cluster: self.cluster().to_owned(),
            ..Identity::default()
        };
        let access = self.roles.system(&identity.username, SystemRole::Admin);
        Caller {
            identity,
            access,
            who: Who::LocalAdmin,
            remote: "local".to_owned(),
            issued_at: None,
            has_arrived: AtomicBool::new(false),
        }
    }

    fn certificate_holder(&self, certificate: &x509::Certificate, remote: &str) -> Result<Caller, Error> {
        if certificate.not_after() <= self.clock.now() {
            return Err(Error::denied("access denied: the client certificate has expired").because(Reason::Expired));
        }
        let (mut identity, from_host_authority) = self.trusted_identity(certificate)?;
        identity.expires = Some(certificate.not_after());
        // What is good for applications, say, is handed to every proxy and agent on the way to one.
        if !identity.usage.is_empty() {
            return Err(useless());
        }
        if !identity.is_good_from(certain_ip(remote)) {
            return Err(Error::denied("access denied: the client certificate is good for another address only")
                .because(Reason::OtherAddress));
        }
        let (who, access) = match (from_host_authority, identity.system_role()) {
            (true, Some(role)) => (Who::System(role), self.roles.system(&identity.username, role)),
            (false, None) => (Who::User, self.user_access(&identity, certificate)?),
            // A user certificate that claims to be a host, or a host's that claims to be a user: never issued by us.
            _ => return Err(useless()),
        };
        self.refuse_locked(&identity)?;
        Ok(Caller {
            identity,
            access,
            who,
            remote: remote.to_owned(),
            issued_at: Some(issued_at(certificate)),
            has_arrived: AtomicBool::new(false),
        })
    }

    /// What the certificate says, if one of our authorities that is still trusted signed it, and whether it was the host one.
    pub(crate) fn trusted_identity(&self, certificate: &x509::Certificate) -> Result<(Identity, bool), Error> {
        let signers = self.signers()?;
        let signed_by = |authorities: &[x509::Certificate]| {
            authorities.iter().any(|authority| certificate.verify_signed_by(authority).is_ok())
        };
        let from_user = signed_by(&signers.user_certificates);
        if !from_user && !signed_by(&signers.host_certificates) {
            return Err(Error::denied(
                "access denied: the authority of the client certificate is not trusted any more",
            )
            .because(Reason::UntrustedCertificate));
        }
        let identity = Identity::from_subject(certificate.subject()).map_err(|_| useless())?;
        if identity.teleport_cluster != self.cluster() {
            return Err(Error::denied("access denied: the client certificate belongs to another cluster")
                .because(Reason::UntrustedCertificate));
        }
        Ok((identity, !from_user))
    }

    /// Refuses a certificate whose user does not exist, or is another one than it was issued to.
    pub(crate) fn require_user_of(&self, identity: &Identity, certificate: &x509::Certificate) -> Result<(), Error> {
        let issued_at = issued_at(certificate).saturating_add(CREATION_LEEWAY).unwrap_or(Timestamp::MAX);
        let snapshot = self.cache.snapshot();
        // A certificate in another user's name goes with whoever took it.
        let behind = Some(identity.impersonator.as_str()).filter(|behind| !behind.is_empty());
        for name in std::iter::once(identity.username.as_str()).chain(behind) {
            match snapshot.user(name) {
                Some(user) if user.spec.created_by.time.is_none_or(|made| made <= issued_at) => {}
                _ => {
                    return Err(
                        Error::denied("access denied: the user does not exist any more").because(Reason::UnknownUser)
                    );
                }
            }
        }
        Ok(())
    }

    /// Refuses to issue what [`Self::require_user_of`] would refuse for ever: by this clock the user is not there yet. Either
    /// the clock is wrong now, or it was when the user was made; both pass, and whoever asks again then is served.
    pub(crate) fn refuse_before_user_of(&self, identity: &Identity, now: Timestamp) -> Result<(), Error> {
        let snapshot = self.cache.snapshot();
        let soon = now.saturating_add(CREATION_LEEWAY).unwrap_or(Timestamp::MAX);
        let is_later = |name: &str| {
            let user = snapshot.user(name);
            user.and_then(|user| user.spec.created_by.time).is_some_and(|made| made > soon)
        };
        if is_later(&identity.username) || is_later(&identity.impersonator) {
            let user = &identity.username;
            return Err(Error::unavailable(format!(
                "the clock of the auth service is wrong, or was: it says {now}, and user {user:?} was made later"
            )));
        }
        Ok(())
    }

    /// What the user of a certificate may do.
    ///
    /// # Errors
    /// Denied as by [`Self::require_user_of`], and when a role of the certificate does not exist any more.
    pub(crate) fn user_access(
        &self,
        identity: &Identity,
        certificate: &x509::Certificate,
    ) -> Result<Arc<AccessChecker>, Error> {
        self.require_user_of(identity, certificate)?;
        self.access(&identity.username, &identity.roles, &identity.traits)
    }

    /// When a caller that was authenticated stops being so by time alone.
    pub fn presented_until(presented: &Presented) -> Option<Timestamp> {
        match presented {
            Presented::Certificate(certificate) => Some(certificate.not_after()),
            _ => None,
        }
    }
}

/// When a certificate of ours was issued, by the clock of that time.
pub(crate) fn issued_at(certificate: &x509::Certificate) -> Timestamp {
    certificate.not_before().saturating_add(ca::BACKDATING).unwrap_or(Timestamp::MAX)
}

/// A certificate that is nobody's who could ask for something here.
pub(crate) fn useless() -> Error {
    Error::denied("access denied: the presented certificate is of no use here; a certificate for an application or another single \
                   use leads there only: for this API take the identity of an identity output, or of tctl auth sign").because(Reason::WrongCertificate)
}

/// Where a caller is, if that is certain: a proxy says with the port 0 that it has somebody's word for the address, and just
/// anybody's.
fn certain_ip(remote: &str) -> Option<IpAddr> {
    remote.parse().ok().filter(|address: &SocketAddr| address.port() != 0).map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_just_anybody_can_claim_is_not_certain() {
        assert_eq!(certain_ip("192.0.2.7:1"), "192.0.2.7".parse().ok());
        for remote in ["192.0.2.7:0", "192.0.2.7", "local", ""] {
            assert_eq!(certain_ip(remote), None, "{remote}");
        }
    }
}
