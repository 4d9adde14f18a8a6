//! The applications that this agent serves: those of the configuration file, and `app` resources with the right labels.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use clock::Clock;
use domain::{Error, Resource as _, error::Kind, resources};
use tokio::sync::watch;

use crate::{
    App, Blocked, Config, app::Origin, dial::Dialler, ports::DialDenied, selector::Selector, view::State,
    web::pool::Pool,
};

/// An application with its connections and the labels that its commands print; another one for another definition.
pub(crate) struct Served {
    pub(crate) app: App,
    pub(crate) dialler: Dialler,
    pub(crate) pool: Pool,
    /// The port of the address; of a TCP application the session decides.
    pub(crate) port: u16,
    /// When auth had taken this definition, on the clock that nobody sets back.
    pub(crate) announced: OnceLock<Duration>,
    /// By the key of the label. None: the command has run, and has not worked yet.
    printed: RwLock<BTreeMap<String, Option<String>>>,
}

/// All of them.
pub(crate) struct Registry {
    config: Config,
    clock: Clock,
    selectors: Vec<Selector>,
    fixed: BTreeMap<String, Arc<Served>>,
    dynamic: RwLock<BTreeMap<String, Dynamic>>,
    changed: watch::Sender<u64>,
}

/// An `app` resource as it was, and what became of it; nothing when it cannot be served here.
struct Dynamic {
    document: resources::App,
    served: Option<Arc<Served>>,
}

impl Served {
    fn new(app: App, config: &Config, clock: &Clock) -> Result<Arc<Self>, Error> {
        let dialler = Dialler::new(&app, config, clock).map_err(|error| Error::invalid(error.to_string()))?;
        let port = app.target().port.unwrap_or_default();
        let pool = Pool::new(&dialler, port);
        let (announced, printed) = (OnceLock::new(), RwLock::default());
        Ok(Arc::new(Self { app, dialler, pool, port, announced, printed }))
    }

    /// The labels that roles are asked about.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        self.app.labels(self.printed())
    }

    /// The keys of labels that it has, but whose values no command has printed yet: nobody knows what roles say of them.
    pub(crate) fn unknown(&self) -> Vec<String> {
        let (document, printed) = (self.app.document(), self.printed());
        let keys = document.spec.dynamic_labels.keys();
        let is_unknown = |key: &&String| !document.metadata.labels.contains_key(*key) && !printed.contains_key(*key);
        keys.filter(is_unknown).cloned().collect()
    }

    /// Whether each of its commands has come to its end once.
    fn is_tried(&self) -> bool {
        let printed = self.printed.read().unwrap_or_else(PoisonError::into_inner);
        self.app.document().spec.dynamic_labels.keys().all(|key| printed.contains_key(key))
    }

    fn printed(&self) -> BTreeMap<String, String> {
        let printed = self.printed.read().unwrap_or_else(PoisonError::into_inner);
        printed.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect()
    }

    /// The definition as others see it: with what the commands printed.
    pub(crate) fn document(&self) -> resources::App {
        let mut document = self.app.document().clone();
        for (key, value) in self.printed() {
            if let Some(label) = document.spec.dynamic_labels.get_mut(&key) {
                label.result = value;
            }
        }
        document
    }

    /// Takes what a command printed, or that it has not worked; returns whether that is new. What it printed last counts on: a
    /// label that comes and goes would open and close doors by chance.
    pub(crate) fn print(&self, key: &str, value: Option<String>) -> bool {
        let mut printed = self.printed.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = printed.get(key).is_none_or(|last| value.is_some() && *last != value);
        if is_new {
            printed.insert(key.to_owned(), value);
        }
        is_new
    }
}

impl DialDenied {
    pub(crate) fn of(served: &Served, port: u16, resolved: &[IpAddr], blocked: &Blocked) -> Self {
        Self {
            app: served.app.name().to_owned(),
            target_host: served.app.target().host.clone(),
            target_port: port,
            resolved: resolved.to_vec(),
            blocked: blocked.clone(),
        }
    }
}

impl Registry {
    /// # Errors
    /// An application of the configuration cannot be served, or two have the same name.
    pub(crate) fn new(config: Config, clock: &Clock) -> Result<Self, Error> {
        let selectors = config.resources.iter().map(Selector::compile).collect::<Result<_, _>>()?;
        let mut fixed = BTreeMap::new();
        let named = |document: &resources::App| {
            let app = App::compile(document.clone(), Origin::Config);
            app.map_err(|error| Error {
                message: format!("application {:?}: {}", document.name(), error.message),
                ..error
            })
        };
        let mut apps = config.apps.iter().map(named).collect::<Result<Vec<_>, _>>()?;
        apps.extend(config.debug_app.then(App::dumper));
        for app in apps {
            let name = app.name().to_owned();
            if fixed.insert(name.clone(), Served::new(app, &config, clock)?).is_some() {
                return Err(Error::invalid(format!("app_service.apps: {name:?} is there twice")));
            }
        }
        let (dynamic, changed) = (RwLock::default(), watch::Sender::new(0));
        Ok(Self { config, clock: clock.clone(), selectors, fixed, dynamic, changed })
    }

    /// The application of this name. What stands in the file comes before what anybody may define.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Served>> {
        let dynamic = self.dynamic.read().unwrap_or_else(PoisonError::into_inner);
        self.fixed.get(name).or_else(|| dynamic.get(name)?.served.as_ref()).map(Arc::clone)
    }

    /// Whether `app` resources are served as well.
    pub(crate) fn wants_resources(&self) -> bool {
        !self.selectors.is_empty()
    }

    /// Waits until each command of the applications of the configuration file has come to its end once.
    pub(crate) async fn tried(&self) {
        let mut changed = self.changed();
        while !self.fixed().all(|served| served.is_tried()) && changed.changed().await.is_ok() {}
    }

    /// The applications of the configuration file.
    pub(crate) fn fixed(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.fixed.values()
    }

    /// All applications.
    pub(crate) fn all(&self) -> Vec<Arc<Served>> {
        let dynamic = self.dynamic.read().unwrap_or_else(PoisonError::into_inner);
        let others = dynamic.iter().filter(|(name, _)| !self.fixed.contains_key(*name));
        self.fixed.values().chain(others.filter_map(|(_, one)| one.served.as_ref())).map(Arc::clone).collect()
    }

    /// Told when applications or their labels changed.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Counts the changes.
    pub(crate) fn version(&self) -> u64 {
        *self.changed.borrow()
    }

    /// Makes everybody look again.
    pub(crate) fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Follows the `app` resources. What did not change keeps its connections.
    pub(crate) fn follow(&self, state: &State) {
        if !self.wants_resources() {
            return;
        }
        let is_wanted =
            |app: &&resources::App| self.selectors.iter().any(|selector| selector.matches(&app.metadata.labels));
        let wanted = state.apps(self.clock.now()).filter(is_wanted);
        let wanted: BTreeMap<&str, &resources::App> = wanted.map(|app| (app.name(), app)).collect();
        let mut dynamic = self.dynamic.write().unwrap_or_else(PoisonError::into_inner);
        let before = dynamic.len();
        dynamic.retain(|name, one| wanted.get(name.as_str()).is_some_and(|app| **app == one.document));
        let mut is_changed = dynamic.len() != before;
        for (name, document) in wanted {
            if !dynamic.contains_key(name) {
                dynamic.insert(name.to_owned(), self.take_up(document));
                is_changed = true;
            }
        }
        drop(dynamic);
        if is_changed {
            self.touch();
        }
    }

    fn take_up(&self, document: &resources::App) -> Dynamic {
        if !document.spec.dynamic_labels.is_empty() {
            // Whoever may define an application would run programs on this machine.
            tracing::warn!(
                app = document.name(),
                "labels by command are only for applications of the configuration file"
            );
        }
        let served =
            App::compile(document.clone(), Origin::Dynamic).and_then(|app| Served::new(app, &self.config, &self.clock));
        let served = served
            .inspect_err(|error| match error.kind {
                Kind::Unsupported => tracing::debug!(app = document.name(), %error, "not served here"),
                _ => tracing::warn!(app = document.name(), %error, "an app resource cannot be served"),
            })
            .ok();
        Dynamic { document: document.clone(), served }
    }
}
