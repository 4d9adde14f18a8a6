//! What the proxy knows of the cluster: which agents serve which applications, who issues certificates, which other
//! proxies there are. A view, fed by [`crate::feed`]; the auth service and the agents decide.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use clock::Timestamp;
use crypto::{PublicKey, x509::Certificate};
use domain::{
    Resource as _,
    ca::CaType,
    resources::{AppServer, AuthPreference, CertAuthority, Lock, app::CorsPolicy},
};
use rbac::{
    LockingMode,
    locks::{self, LockSubject, LockView, STALE_AFTER_AT_AGENTS},
};
use tokio::sync::watch;

use crate::{
    Identity,
    names::{Names, host},
};

/// How long a server that nobody has withdrawn outlives its announcement, from when it is first missed: agents could not
/// announce while the auth service was away, and do so again within this. One that is really gone has no link.
const MISSED_FOR: Duration = Duration::from_secs(30);

/// An agent that serves an application.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Server {
    /// The agent's host id.
    pub(crate) host_id: Arc<str>,
    /// The application's name.
    pub(crate) app: String,
    /// The host of the application's own public address.
    pub(crate) public_host: Option<String>,
    /// What pages of other sites may do with it.
    pub(crate) cors: Option<CorsPolicy>,
    /// The proxies that the agent said it is attached to.
    pub(crate) proxies: Vec<String>,
    /// When the auth service does not list it any more, unless it says again that it is there.
    expires: Option<Timestamp>,
    /// When it was not listed first.
    missed: Option<Timestamp>,
}

impl Server {
    fn of(resource: &AppServer) -> Option<Self> {
        let app = resource.spec.app.as_ref()?;
        Some(Self {
            host_id: resource.spec.host_id.as_str().into(),
            app: app.metadata.name.clone(),
            public_host: host(&app.spec.public_addr),
            cors: app.spec.cors.clone(),
            proxies: resource.spec.proxy_ids.clone(),
            expires: resource.metadata.expires,
            missed: None,
        })
    }

    /// Goes on though it is not listed, if that is because its announcement has ended, and not for long.
    fn outlives_its_word(&self, now: Timestamp) -> Option<Self> {
        let missed = self.missed.unwrap_or(now);
        let goes_on = self.expires.is_some_and(|end| end <= now) && now < missed + MISSED_FOR;
        goes_on.then(|| Self { missed: Some(missed), ..self.clone() })
    }
}

/// The authorities of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Authorities {
    /// All of them, without private keys.
    pub(crate) all: Vec<CertAuthority>,
    /// The certificates of those who sign users' certificates.
    pub(crate) user: Vec<Certificate>,
    /// The certificates of those who sign hosts' certificates.
    pub(crate) host: Vec<Certificate>,
    /// The SSH keys of the former.
    pub(crate) user_ssh: Vec<PublicKey>,
    /// The SSH keys of the latter.
    pub(crate) host_ssh: Vec<PublicKey>,
}

impl Authorities {
    pub(crate) fn new(all: Vec<CertAuthority>) -> Self {
        let of = |ca_type| {
            let authorities = all.iter().filter(move |authority| authority.ca_type() == ca_type);
            let pem = authorities.flat_map(CertAuthority::trusted_tls);
            let certificates = pem.filter_map(|pem| Certificate::from_pem(std::str::from_utf8(pem).ok()?).ok());
            certificates.collect::<Vec<_>>()
        };
        let ssh = |ca_type| {
            let authorities = all.iter().filter(move |authority| authority.ca_type() == ca_type);
            let lines = authorities.flat_map(CertAuthority::trusted_ssh);
            lines.filter_map(|line| PublicKey::from_authorized_key(std::str::from_utf8(line).ok()?).ok()).collect()
        };
        let (user_ssh, host_ssh) = (ssh(CaType::User), ssh(CaType::Host));
        Self { user: of(CaType::User), host: of(CaType::Host), user_ssh, host_ssh, all }
    }

    /// Those who sign hosts' certificates; until they are known, those that came with our own.
    pub(crate) fn hosts_or<'a>(&'a self, own: &'a Identity) -> &'a [Certificate] {
        if self.host.is_empty() { &own.authorities } else { &self.host }
    }
}

/// What is known.
pub(crate) struct View {
    names: Names,
    servers: RwLock<Servers>,
    authorities: ArcSwap<Authorities>,
    preference: ArcSwap<AuthPreference>,
    locks: ArcSwap<HashMap<String, Lock>>,
    /// Moves when authorities or locks change: who is trusted is to be asked again.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Servers {
    /// By application, the agents that serve it.
    by_app: HashMap<String, Vec<Arc<Server>>>,
    /// By public host, the application.
    by_host: HashMap<String, String>,
}

impl Servers {
    fn put(&mut self, server: Server) {
        let server = Arc::new(server);
        let servers = self.by_app.entry(server.app.clone()).or_default();
        let before = match servers.iter_mut().find(|known| known.host_id == server.host_id) {
            Some(known) => std::mem::replace(known, Arc::clone(&server)).public_host.clone(),
            None => {
                servers.push(Arc::clone(&server));
                None
            }
        };
        if before != server.public_host {
            self.release(before.as_deref(), &server.app);
        }
        // The first that has it keeps it: whoever claims the host of another application gets nothing by that.
        if let Some(host) = &server.public_host {
            self.by_host.entry(host.clone()).or_insert_with(|| server.app.clone());
        }
    }

    /// These, and those that outlive their word; each keeps the public host that it had.
    fn replaced(&self, servers: impl Iterator<Item = Server>, now: Timestamp) -> Self {
        let mut next = Self::default();
        servers.for_each(|server| next.put(server));
        for known in self.by_app.values().flatten() {
            let is_listed = next.of(&known.app).any(|server| server.host_id == known.host_id);
            known.outlives_its_word(now).filter(|_| !is_listed).into_iter().for_each(|server| next.put(server));
        }
        for (host, app) in &self.by_host {
            if next.of(app).any(|server| server.public_host.as_ref() == Some(host)) {
                next.by_host.insert(host.clone(), app.clone());
            }
        }
        next
    }

    fn of(&self, app: &str) -> impl Iterator<Item = &Arc<Server>> {
        self.by_app.get(app).into_iter().flatten()
    }

    /// A host that an application does not have any more leads to another that claims it, or nowhere.
    fn release(&mut self, host: Option<&str>, app: &str) {
        let Some(host) = host.filter(|host| self.by_host.get(*host).is_some_and(|of| of == app)) else { return };
        let claims = |server: &&Arc<Server>| server.public_host.as_deref() == Some(host);
        if self.of(app).any(|server| claims(&server)) {
            return;
        }
        match self.by_app.values().flatten().find(claims) {
            Some(next) => drop(self.by_host.insert(host.to_owned(), next.app.clone())),
            None => drop(self.by_host.remove(host)),
        }
    }
}

impl View {
    pub(crate) fn new(names: Names) -> Self {
        let mut preference = AuthPreference::default();
        preference.set_defaults();
        let (authorities, preference) = (ArcSwap::default(), ArcSwap::from_pointee(preference));
        let (locks, changed) = (ArcSwap::default(), watch::Sender::new(0));
        Self { names, servers: RwLock::default(), authorities, preference, locks, changed }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn authorities(&self) -> Arc<Authorities> {
        self.authorities.load_full()
    }

    /// What is the same as before changes nothing: who was found good by it need not be looked at again.
    pub(crate) fn set_authorities(&self, all: Vec<CertAuthority>) {
        if self.authorities.load().all != all {
            self.authorities.store(Arc::new(Authorities::new(all)));
            self.touch();
        }
    }

    /// All locks that there are.
    pub(crate) fn set_locks(&self, locks: Vec<Lock>) {
        let locks = locks.into_iter().map(|lock| (lock.name().to_owned(), lock)).collect();
        if **self.locks.load() != locks {
            self.locks.store(Arc::new(locks));
            self.touch();
        }
    }

    /// A lock is put, or removed.
    pub(crate) fn change_lock(&self, name: &str, lock: Option<Lock>) {
        let mut locks = HashMap::clone(&self.locks.load());
        match lock {
            Some(lock) => drop(locks.insert(name.to_owned(), lock)),
            None => drop(locks.remove(name)),
        }
        self.locks.store(Arc::new(locks));
        self.touch();
    }

    /// What a lock says that is in force against this subject.
    pub(crate) fn lock_on(&self, subject: &LockSubject<'_>, now: Timestamp) -> Option<String> {
        let locks = self.locks.load();
        let view = LockView { locks: locks.values(), as_of: now, stale_after: STALE_AFTER_AT_AGENTS };
        locks::check(view, subject, LockingMode::BestEffort, now).err().map(|locked| locked.to_string())
    }

    /// Told when authorities or locks change.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// How one proves who one is, cluster-wide; until the auth service has said so, what it says unless told otherwise.
    pub(crate) fn preference(&self) -> Arc<AuthPreference> {
        self.preference.load_full()
    }

    pub(crate) fn set_preference(&self, preference: AuthPreference) {
        self.preference.store(Arc::new(preference));
    }

    /// All servers that the auth service lists now. Between two of its lists those of the first stand, however long it is
    /// away.
    pub(crate) fn set_servers(&self, resources: &[AppServer], now: Timestamp) {
        let mut servers = self.servers.write().unwrap_or_else(PoisonError::into_inner);
        *servers = servers.replaced(resources.iter().filter_map(Server::of), now);
    }

    pub(crate) fn put_server(&self, resource: &AppServer) {
        if let Some(server) = Server::of(resource) {
            self.servers.write().unwrap_or_else(PoisonError::into_inner).put(server);
        }
    }

    /// The application that answers to a host: by its own public address, else by the label below one of ours. It may
    /// exist or not.
    pub(crate) fn app_of(&self, host: &str) -> Option<String> {
        let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
        servers.by_host.get(host).map(String::as_str).or_else(|| self.names.label(host)).map(str::to_owned)
    }

    /// The hosts of applications: their own public ones, else the labels below ours.
    pub(crate) fn app_hosts(&self) -> Vec<String> {
        let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
        let has_own = |app: &String| servers.by_host.values().any(|of| of == app);
        let labels = servers.by_app.keys().filter(|app| !has_own(app)).flat_map(|app| self.names.below(app));
        labels.chain(servers.by_host.keys().cloned()).collect()
    }

    /// The agents that serve an application.
    pub(crate) fn servers_of(&self, app: &str) -> Vec<Arc<Server>> {
        self.servers.read().unwrap_or_else(PoisonError::into_inner).of(app).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use domain::resources::{App, app::AppSpec, app_server::AppServerSpec};

    use super::*;

    fn server(host_id: &str, app: &str, public_host: &str) -> Server {
        Server {
            host_id: host_id.into(),
            app: app.into(),
            public_host: Some(public_host.to_owned()).filter(|host| !host.is_empty()),
            cors: None,
            proxies: Vec::new(),
            expires: None,
            missed: None,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn an_outage_takes_no_server_away_until_its_agent_had_time_to_come_back() {
        let view = View::new(Names::new(&[]));
        let serves = |host_ids: &[&str]| {
            let mut known: Vec<_> = view.servers_of("grafana").iter().map(|it| it.host_id.to_string()).collect();
            known.sort();
            assert_eq!(known, host_ids);
        };
        let announced = |host_id: &str, until: u64| {
            let app = App::new("grafana", AppSpec { uri: "http://localhost:1".into(), ..AppSpec::default() });
            let spec = AppServerSpec { host_id: host_id.into(), app: Some(app), ..AppServerSpec::default() };
            let mut server = AppServer::new("grafana", spec);
            server.metadata.expires = Some(at(until));
            server
        };
        view.set_servers(&["back", "gone", "withdrawn"].map(|host_id| announced(host_id, 300)), at(0));
        view.set_servers(&["back", "gone"].map(|host_id| announced(host_id, 300)), at(60));
        serves(&["back", "gone"]);
        // The auth service is away until long after the announcements have ended, and then lists nobody.
        view.set_servers(&[], at(1000));
        view.put_server(&announced("back", 1305));
        view.set_servers(&[announced("back", 1305)], at(1010));
        serves(&["back", "gone"]);
        view.set_servers(&[announced("back", 1305)], at(1030));
        serves(&["back"]);
        view.set_servers(&[], at(1040));
        serves(&[]);
    }

    #[test]
    fn a_public_host_leads_to_the_first_application_that_has_it() {
        let mut servers = Servers::default();
        let leads = |servers: &Servers| servers.by_host.get("a.example").cloned();
        servers.put(server("h1", "alpha", "a.example"));
        servers.put(server("h9", "hijack", "a.example"));
        assert_eq!(leads(&servers).as_deref(), Some("alpha"));
        // It says again that it is there, a second agent of it comes, the first goes, and all are listed anew.
        servers.put(server("h1", "alpha", "a.example"));
        servers.put(server("h2", "alpha", "a.example"));
        assert_eq!(leads(&servers).as_deref(), Some("alpha"));
        let listed = [("h0", "hijack", "a.example"), ("h2", "alpha", "a.example"), ("h9", "hijack", "a.example")];
        let listed = listed.into_iter().map(|(id, app, host)| server(id, app, host));
        let mut servers = servers.replaced(listed, at(0));
        assert_eq!(leads(&servers).as_deref(), Some("alpha"));
        servers.put(server("h2", "alpha", "b.example"));
        assert_eq!(leads(&servers).as_deref(), Some("hijack"), "alpha has another one now");
        let servers = servers.replaced([server("h2", "alpha", "b.example")].into_iter(), at(0));
        assert_eq!(leads(&servers), None);
        assert_eq!(servers.by_host.len(), 1);
    }
}
