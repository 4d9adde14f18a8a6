//! An application session, as the certificate that the user authority made for it says it.

use clock::Timestamp;
use crypto::{hash, x509::Certificate};
use domain::identity::{Identity, RouteToApp, USAGE_APPS};

use crate::access::Refusal;

/// A session that somebody has shown a certificate of. Whether it still lives is another question.
#[derive(Debug, Clone)]
pub struct Session {
    certificate: Certificate,
    identity: Identity,
    sid: String,
}

impl Session {
    /// Reads a certificate whose chain was checked, and whose key is held at the other end.
    ///
    /// # Errors
    /// It is no certificate of a session with an application of this cluster.
    pub(crate) fn read(certificate: Certificate, cluster: &str) -> Result<Self, Refusal> {
        let untrusted = |reason: &str| Refusal::Untrusted(reason.to_owned());
        let identity = Identity::from_subject(certificate.subject()).map_err(|error| untrusted(&error.message))?;
        let route = &identity.route_to_app;
        if route.session_id.is_empty() || route.name.is_empty() {
            return Err(untrusted("the certificate leads to no application"));
        }
        if route.cluster_name != cluster || identity.teleport_cluster != cluster {
            return Err(untrusted("the certificate is of another cluster"));
        }
        // One that was made for anything else opens nothing here.
        if identity.usage != [USAGE_APPS] {
            return Err(untrusted("the certificate was not made for applications"));
        }
        if identity.username.is_empty() || identity.system_role().is_some() {
            return Err(untrusted("the certificate is not that of a user"));
        }
        let sid = hash::hex(&hash::sha256(route.session_id.as_bytes())[..16]);
        Ok(Self { certificate, identity, sid })
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The user.
    pub fn user(&self) -> &str {
        &self.identity.username
    }

    /// Where it leads.
    pub fn route(&self) -> &RouteToApp {
        &self.identity.route_to_app
    }

    /// The unguessable id: who knows it can ask for what the session may. Never logged.
    pub(crate) fn id(&self) -> &str {
        &self.identity.route_to_app.session_id
    }

    /// What logs call the session: the first 128 bits of the SHA-256 of its id.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// When it ends at the latest.
    pub fn not_after(&self) -> Timestamp {
        self.certificate.not_after()
    }

    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}
