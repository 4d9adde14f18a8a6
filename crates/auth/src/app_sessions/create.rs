//! A session begins: with a certificate that leads to the application, or with a cookie.

use std::sync::atomic::{AtomicBool, Ordering};

use audit::{
    AppMetadata, ConnectionMetadata,
    events::{app::AppSessionStart, cert::CertificateCreate},
};
use clock::Timestamp;
use crypto::{Algorithm, KeyPair, PublicKey, SecretString, hash};
use domain::{
    Error, Kind,
    error::Reason,
    identity::{Identity, RouteToApp, USAGE_APPS},
    names,
    resources::{App, AppServer, User},
};
use rbac::{AccessChecker, Family, Verb};
use store::{Change, settle};

use super::{
    end,
    record::{self, Holder, Record, SessionId},
};
use crate::{
    Auth, Caller, Operation,
    certificates::{certificate_event, user},
    decide::Asked,
    failure::internal,
    instances::note_arrival,
};

/// Random bytes of the token in a cookie.
const BEARER_BYTES: usize = 32;

/// The application that is asked for.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Where people reach it; may be empty.
    pub public_addr: String,
    /// The cluster that has it; empty for this one.
    pub cluster_name: String,
    /// The port of a TCP application with several.
    pub target_port: u16,
}

/// A session that is decided and signed for, but not stored: it does not exist yet.
pub(crate) struct New {
    record: Record,
    start: AppSessionStart,
    certificate: CertificateCreate,
    /// Whether a change that it was added to has lost a race, as far as anybody knows: it is added to another one then.
    has_raced: AtomicBool,
}

impl New {
    /// Adds it to the change that also records what it belongs to, with the end of those that are too many.
    pub(crate) async fn add(&self, auth: &Auth, mut change: Change) -> Result<Change, Error> {
        let has_raced = self.has_raced.swap(true, Ordering::Relaxed);
        let ended = record::superfluous(auth, &mut change, &self.record, has_raced).await?;
        let change = record::put(change, &self.record)?.event(&self.start).event(&self.certificate);
        Ok(ended.iter().fold(change, |change, old| record::delete(change, old).event(&end::superseded(auth, old))))
    }
}

/// Makes a session for the holder of `identity`, and writes the way to it into that identity.
pub(crate) async fn prepare(
    auth: &Auth,
    caller: &Caller,
    access: &AccessChecker,
    identity: &mut Identity,
    route: &Route,
    holder: Holder,
    (now, not_after): (Timestamp, Timestamp),
) -> Result<New, Error> {
    let app = reachable(auth, caller, access, route)?;
    app.check_target_port(route.target_port)?;
    let server_id = only_server(auth, &route.name);
    let id = SessionId::generate(&auth.random);
    identity.usage = vec![USAGE_APPS.to_owned()];
    identity.route_to_app = RouteToApp {
        session_id: id.expose().to_owned(),
        cluster_name: auth.cluster().to_owned(),
        public_addr: public_addr(&app, route)?,
        name: app.metadata.name.clone(),
        ..RouteToApp::default()
    };
    // With its key a proxy speaks to the agent, and must not be able to do anything else with it.
    let own = Identity {
        principals: Vec::new(),
        kubernetes_groups: Vec::new(),
        kubernetes_users: Vec::new(),
        database_names: Vec::new(),
        database_users: Vec::new(),
        renewable: false,
        disallow_reissue: true,
        ..identity.clone()
    };
    let key = KeyPair::generate(Algorithm::EcdsaP256).map_err(|error| internal("a key was not made", error))?;
    let pkcs8 = key.to_pkcs8_der().map_err(|error| internal("a key cannot be written", error))?;
    let pair = auth.prepare(own, Some(key.public()), None, now, not_after)?;
    let certificate = certificate_event(&pair, caller);
    // Signed before it is recorded, but it leaves the server by a fetch only, and then it has been.
    let signed = auth.sign(pair).await?.tls.ok_or_else(|| Error::internal("the session has no certificate"))?;
    let record = Record {
        hash: id.hash(),
        user: identity.username.clone(),
        by: user::metadata(identity),
        app: app.metadata.name.clone(),
        app_uri: app.spec.uri.clone(),
        server_id: server_id.clone(),
        public_addr: identity.route_to_app.public_addr.clone(),
        target_port: route.target_port,
        holder,
        created: now,
        not_after,
        certificate: signed.to_pem(),
        key: record::seal(&auth.random, &id, &pkcs8),
    };
    let start = AppSessionStart {
        user: record.by.clone(),
        connection: ConnectionMetadata::from_remote(caller.remote()),
        app: metadata(&app, &identity.route_to_app.public_addr),
        sid: id.shown(),
        server_id,
        public_addr: identity.route_to_app.public_addr.clone(),
        ..AppSessionStart::default()
    };
    Ok(New { record, start, certificate, has_raced: AtomicBool::new(false) })
}

/// What an event says about the application.
pub(crate) fn metadata(app: &App, public_addr: &str) -> AppMetadata {
    AppMetadata {
        app_uri: app.spec.uri.clone(),
        app_public_addr: public_addr.to_owned(),
        app_labels: app.all_labels().into_owned(),
        app_name: app.metadata.name.clone(),
    }
}

/// The holder of a certificate: who has this key.
pub(crate) fn holder_of(key: &PublicKey) -> Holder {
    Holder::Key(key.sha256())
}

/// The application, if it is there and these roles reach it. Both look the same to a caller.
fn reachable(auth: &Auth, caller: &Caller, access: &AccessChecker, route: &Route) -> Result<App, Error> {
    names::of(Kind::App).check("RouteToApp.Name", &route.name)?;
    if !route.cluster_name.is_empty() && route.cluster_name != auth.cluster() {
        return Err(Error::unsupported("an application of another cluster is not supported yet"));
    }
    let absent = || Error::not_found(format!("app {:?} not found", route.name));
    let snapshot = auth.cache.snapshot();
    let served = snapshot.app_servers().filter_map(|server| server.spec.app.as_ref());
    let stored = snapshot.app(&route.name);
    let mut decision = None;
    for app in served.chain(stored.as_deref()).filter(|app| is_meant(app, route)) {
        let decided = access.check_labels(Family::App, &app.all_labels());
        if decided.allowed {
            return Ok(app.clone());
        }
        decision = Some(decided);
    }
    let asked =
        Asked { operation: Operation::IssueUserCertificates, kind: Kind::App, verb: Verb::Read, name: &route.name };
    match decision {
        Some(denied) => auth.enforce(caller, &asked, denied).and(Err(absent())).map_err(|_| absent()),
        None => Err(absent()),
    }
}

/// The host that serves an application; nothing when there are several, of which requests choose one.
fn only_server(auth: &Auth, app: &str) -> String {
    let snapshot = auth.cache.snapshot();
    let serves = |server: &AppServer| server.spec.app.as_ref().is_some_and(|of| of.metadata.name == app);
    let mut hosts = snapshot.app_servers().filter(|server| serves(server)).map(|server| server.spec.host_id.as_str());
    let first = hosts.next().unwrap_or_default();
    if hosts.all(|other| other == first) { first.to_owned() } else { String::new() }
}

fn is_meant(app: &App, route: &Route) -> bool {
    let own = &app.spec.public_addr;
    app.metadata.name == route.name && (route.public_addr.is_empty() || own.is_empty() || *own == route.public_addr)
}

/// Where people reach it. An application without an address of its own is found under its name.
fn public_addr(app: &App, route: &Route) -> Result<String, Error> {
    if !app.spec.public_addr.is_empty() {
        return Ok(app.spec.public_addr.clone());
    }
    if route.public_addr.is_empty() {
        return Ok(String::new());
    }
    names::DNS_NAME.check("RouteToApp.PublicAddr", &route.public_addr)?;
    match route.public_addr.split_once('.') {
        Some((label, _)) if label == app.metadata.name => Ok(route.public_addr.clone()),
        _ => Err(Error::invalid(format!(
            "RouteToApp.PublicAddr: {:?} is not an address of app {:?}",
            route.public_addr, app.metadata.name
        ))),
    }
}

/// A session that a cookie holds.
#[derive(Debug)]
pub struct Cookie {
    /// Its id: the value of the first cookie.
    pub id: SessionId,
    /// The value of the second one, which only the browser and the proxy see.
    pub bearer: SecretString,
    /// Whose it is.
    pub user: String,
    /// When it ends.
    pub not_after: Timestamp,
}

/// A session for a browser of the user who asks.
///
/// # Errors
/// Denied to parts of the system, for another user's name, and with a certificate that gets no other ones; not found for an
/// application that the user cannot reach.
pub async fn create(auth: &Auth, caller: &Caller, username: &str, route: Route) -> Result<Cookie, Error> {
    let own = caller.identity();
    let is_own = username.is_empty() || username == caller.name();
    if caller.is_anonymous() || caller.system_role().is_some() || !is_own || own.disallow_reissue || own.renewable {
        return Err(Error::denied("access denied: a session is made with the certificate of its user")
            .because(Reason::WrongCertificate));
    }
    let decided = user::own_identity(auth, caller)?;
    let (mut identity, not_after) = (decided.identity, decided.not_after);
    let bearer = auth.random.hex(BEARER_BYTES);
    let holder = Holder::Bearer(hash::sha256(bearer.as_bytes()));
    let times = (auth.clock.now(), not_after);
    let new = prepare(auth, caller, &decided.access, &mut identity, &route, holder, times).await?;
    auth.refuse_locked(&identity)?;
    let committed = settle(|| async {
        let change = auth.store.change().require_exists::<User>(&identity.username);
        note_arrival(auth, caller, new.add(auth, change).await?).await?.commit().await
    });
    committed.await?;
    Ok(Cookie {
        id: SessionId::new(identity.route_to_app.session_id),
        bearer: SecretString::new(bearer),
        user: identity.username,
        not_after,
    })
}
