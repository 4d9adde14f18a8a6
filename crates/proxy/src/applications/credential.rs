//! What a client has shown, and the session that it may use with it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crypto::{SecretString, hash::sha256, x509::Certificate};
use domain::{
    Error,
    identity::{Identity, USAGE_APPS},
};
use http::HeaderMap;
use rustls::ServerConnection;

use super::Visit;
use crate::{
    Proxy,
    cookies::Cookies,
    sessions::{Holder, Live, SessionKey},
    view::Authorities,
};

/// A client certificate whose key the client has proved to hold. Nothing else is known of it yet.
pub(crate) struct Shown {
    certificate: Certificate,
    identity: Identity,
    client: SocketAddr,
    key: SessionKey,
    id: SecretString,
    /// The authorities by which it was found good, so that the signature is checked once and again when they change.
    trusted_by: Mutex<Option<Arc<Authorities>>>,
}

/// By what a client may use its session. Neither is taken in the other's place.
#[derive(Clone)]
pub(crate) enum Credential {
    /// The certificate of its connection.
    Certificate(Arc<Shown>),
    /// The cookies of its request.
    Cookies(Arc<Cookies>),
}

impl Credential {
    /// The live session with `app`; see [`Shown::session`].
    pub(crate) async fn session(&self, proxy: &Proxy, app: &str) -> Result<Arc<Live>, Refused> {
        match self {
            Self::Certificate(shown) => shown.session(proxy, app).await,
            Self::Cookies(cookies) => cookies.session(proxy, app).await,
        }
    }

    /// The session's id, and what it is kept under.
    pub(crate) fn id(&self) -> (&SessionKey, &SecretString) {
        match self {
            Self::Certificate(shown) => (&shown.key, &shown.id),
            Self::Cookies(cookies) => cookies.id(),
        }
    }
}

/// The session of a request. A browser may show a certificate that has nothing to do with us, so cookies are looked at
/// where a certificate leads nowhere.
pub(crate) async fn session(
    proxy: &Proxy,
    visit: &Visit,
    app: &str,
    headers: &HeaderMap,
) -> Result<(Credential, Arc<Live>), Refused> {
    let refused = match &visit.shown {
        None => Refused::NoCertificate,
        Some(shown) => match shown.session(proxy, app).await {
            Ok(live) => return Ok((Credential::Certificate(Arc::clone(shown)), live)),
            Err(refused) => refused,
        },
    };
    let cookies = Cookies::of(headers).ok_or(refused)?;
    let live = cookies.session(proxy, app).await?;
    Ok((Credential::Cookies(Arc::new(cookies)), live))
}

/// Why what a client has shown is not enough. The client is not told: it is led to the login page, unless nobody has said
/// yet that it is not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("no client certificate")]
    NoCertificate,
    #[error("the certificate is not of this cluster's user authority")]
    Untrusted,
    #[error("the certificate has expired")]
    Expired,
    #[error("the certificate leads to no application")]
    NoRoute,
    #[error("the certificate leads to the application {0:?}")]
    OtherApp(String),
    #[error("the session is another user's, another application's or another key's")]
    Mismatch,
    #[error("no session")]
    NoSession(#[source] Error),
}

impl Refused {
    /// What the auth service has failed with, where it has not said if there is a session: signing in would not help.
    pub(crate) fn silence(&self) -> Option<&Error> {
        match self {
            Self::NoSession(error) if error.kind.is_silence() => Some(error),
            _ => None,
        }
    }
}

impl Shown {
    /// What the client has shown in the handshake; none when it is no certificate that can be read.
    pub(crate) fn of(connection: &ServerConnection, client: SocketAddr) -> Option<Self> {
        let certificate = Certificate::from_der(connection.peer_certificates()?.first()?).ok()?;
        let mut identity = Identity::from_subject(certificate.subject()).ok()?;
        let id = std::mem::take(&mut identity.route_to_app.session_id);
        let (key, id) = (sha256(id.as_bytes()), SecretString::new(id));
        Some(Self { certificate, identity, client, key, id, trusted_by: Mutex::new(None) })
    }

    /// The live session that the certificate is for, when that is one with `app`. Asked on each request: certificates
    /// end, authorities are removed, and sessions are ended, while connections stand.
    pub(crate) async fn session(&self, proxy: &Proxy, app: &str) -> Result<Arc<Live>, Refused> {
        self.check_certificate(proxy)?;
        let route = &self.identity.route_to_app;
        if self.id.expose().is_empty() || route.cluster_name != proxy.config.cluster {
            return Err(Refused::NoRoute);
        }
        if route.name != app {
            return Err(Refused::OtherApp(route.name.clone()));
        }
        let live = proxy.sessions.get(&self.key, &self.id).await.map_err(Refused::NoSession)?;
        let session = &live.session;
        let holds = match &session.holder {
            Holder::ClientKey(expect) => crypto::constant_time_eq(expect, &sha256(self.certificate.spki_der())),
            Holder::Bearer(_) => false,
        };
        if holds && session.user == self.identity.username && session.app == app {
            Ok(live)
        } else {
            tracing::warn!(
                user = self.identity.username,
                app,
                "a certificate does not fit the application session that it names"
            );
            proxy.mismatches.note(&self.certificate, self.client, self.key);
            Err(Refused::Mismatch)
        }
    }

    /// Whether our authorities have signed it, and it is valid now.
    pub(crate) fn is_ours(&self, proxy: &Proxy) -> bool {
        self.check_certificate(proxy).is_ok()
    }

    /// The application that the certificate leads to.
    pub(crate) fn app(&self) -> &str {
        &self.identity.route_to_app.name
    }

    fn check_certificate(&self, proxy: &Proxy) -> Result<(), Refused> {
        if !self.certificate.is_valid_at(proxy.ports.clock.now()) {
            return Err(Refused::Expired);
        }
        let identity = &self.identity;
        let is_for_apps = identity.usage.is_empty() || identity.usage.iter().any(|usage| usage == USAGE_APPS);
        if self.certificate.is_ca() || identity.teleport_cluster != proxy.config.cluster || !is_for_apps {
            return Err(Refused::NoRoute);
        }
        let authorities = proxy.view.authorities();
        let mut trusted_by = self.trusted_by.lock().unwrap_or_else(PoisonError::into_inner);
        if trusted_by.as_ref().is_some_and(|trusted| Arc::ptr_eq(trusted, &authorities)) {
            return Ok(());
        }
        if !authorities.user.iter().any(|authority| self.certificate.verify_signed_by(authority).is_ok()) {
            return Err(Refused::Untrusted);
        }
        *trusted_by = Some(authorities);
        Ok(())
    }
}
