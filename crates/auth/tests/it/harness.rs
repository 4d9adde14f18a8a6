//! A cluster without sockets: memory, a manual clock, one bot.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use audit::chain::{Chainer, KeyStoreSigner, Setup};
use auth::{
    Auth, Caller, Config, Issued, Ports, Presented,
    joining::{self, JoinRequest, Proof},
    metrics::Metrics,
};
use clock::{ManualClock, Timestamp};
use crypto::{Algorithm, KeyPair, Random, SecretString};
use domain::{
    Error, Resource as _,
    resources::{Bot, Role, Token, role::RoleSpec},
    role::SystemRole,
};
use futures_util::FutureExt as _;
use service::Supervisor;
use storage::{
    Backend, Batch,
    fault::{Fault, Faulty},
    memory::Memory,
};
use telemetry::metrics::Registry;

use crate::keys::QuickKeys;

pub(crate) const GRACE: Duration = Duration::from_secs(72 * 3600);

/// How long the audit log is kept.
pub(crate) const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

pub(crate) struct Cluster {
    pub(crate) auth: Arc<Auth>,
    pub(crate) clock: ManualClock,
    pub(crate) backend: Arc<Memory>,
    metrics: Metrics,
    supervisor: Supervisor,
    /// Records of what the start itself made.
    pub(crate) at_start: usize,
}

/// A machine: its keys and the certificate it holds.
pub(crate) struct Machine {
    pub(crate) tls: KeyPair,
    pub(crate) ssh: KeyPair,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self {
            tls: KeyPair::generate(Algorithm::EcdsaP256).unwrap(),
            ssh: KeyPair::generate(Algorithm::Ed25519).unwrap(),
        }
    }
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let clock = ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap());
        let random = Random::system();
        let backend = Arc::new(Memory::new(clock.clock(), &random));
        Self::over(backend, clock).await
    }

    pub(crate) async fn over(backend: Arc<Memory>, clock: ManualClock) -> Self {
        let store = Arc::clone(&backend) as Arc<dyn Backend>;
        Self::through(store, backend, clock, None).await
    }

    /// The same cluster started again beside a file that knows a later checkpoint than its store.
    pub(crate) async fn restored(self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("audit-head");
        let later = r#"{"cluster":"test.example","time":"2027-01-01T00:00:00.000Z","heads":[{"writer":"11111111-1111-4111-8111-111111111111","seq":9,"hash":"0000000000000000000000000000000000000000000000000000000000000000","position":9}],"public_key":"","signature":""}"#;
        std::fs::write(&file, later).unwrap();
        let (backend, clock) = (Arc::clone(&self.backend), self.clock.clone());
        drop(self);
        let store = Arc::clone(&backend) as Arc<dyn Backend>;
        Self::through(store, backend, clock, Some(file)).await
    }

    /// A cluster in whose store `meanwhile` happens before the first batch that is `when`, as if somebody were faster.
    pub(crate) async fn raced(
        when: impl Fn(&Batch) -> bool + Send + Sync + 'static,
        meanwhile: impl Fn(&Memory) -> Option<Batch> + Send + Sync + 'static,
    ) -> Self {
        let clock = ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap());
        let memory = Arc::new(Memory::new(clock.clock(), &Random::system()));
        let (inner, done) = (Arc::clone(&memory), AtomicBool::new(false));
        let store = Faulty::new(Arc::clone(&memory) as Arc<dyn Backend>, move |batch| {
            if when(batch)
                && !done.load(Ordering::Relaxed)
                && let Some(other) = meanwhile(&inner)
            {
                done.store(true, Ordering::Relaxed);
                inner.batch(other).now_or_never().unwrap().unwrap();
            }
            Fault::None
        });
        Self::through(Arc::new(store), memory, clock, None).await
    }

    async fn through(
        store: Arc<dyn Backend>,
        backend: Arc<Memory>,
        clock: ManualClock,
        audit_head: Option<PathBuf>,
    ) -> Self {
        let (random, metrics) = (Random::system(), Metrics::default());
        let ports = Ports {
            backend: store,
            keystore: Arc::new(QuickKeys::new()),
            clock: clock.clock(),
            random,
            metrics: metrics.clone(),
        };
        let config = Config {
            cluster_name: "test.example".into(),
            host_id: "11111111-1111-4111-8111-111111111111".into(),
            bot_renewal_grace: GRACE,
            server_names: vec!["auth.test.example".into()],
            preference: None,
            networking: None,
            recording: None,
            audit_head,
            audit_retention: Some(RETENTION),
        };
        let (auth, driver) = Auth::open(ports, config).await.unwrap();
        let supervisor = Supervisor::new(clock.clock());
        auth.run(driver, &supervisor);
        auth.cache().wait_ready().await;
        let at_start = backend.journal_read(None, 1000).await.unwrap().records.len();
        Self { auth, clock, backend, metrics, supervisor, at_start }
    }

    /// What `/metrics` shows of the authority.
    pub(crate) fn metrics(&self) -> String {
        let mut registry = Registry::default();
        self.metrics.register(&mut registry);
        telemetry::metrics::render(&registry)
    }

    /// Role `deployer`, bot `ci`, and a token for it.
    pub(crate) async fn with_bot(&self) -> String {
        let mut role = Role::new("deployer", RoleSpec::default());
        role.spec.allow.logins = vec!["deploy".into()];
        role.set_defaults();
        let mut bot = Bot::new("ci", Default::default());
        bot.spec.roles = vec!["deployer".into()];
        bot.set_defaults();
        let store = self.auth.store();
        let mut user = bot.derived_user();
        user.spec.created_by.time = Some(self.auth.clock().now());
        let change = store.change().create(&role).unwrap().create(&bot).unwrap();
        change.create(&user).unwrap().create(&bot.derived_role()).unwrap().commit().await.unwrap();
        self.settle().await;
        self.token("secret-token-1").await
    }

    pub(crate) async fn token(&self, name: &str) -> String {
        let mut token = Token::new(name, Default::default());
        token.spec.roles = vec![SystemRole::Bot];
        token.spec.bot_name = "ci".into();
        token.set_defaults();
        self.auth.store().change().create(&token).unwrap().commit().await.unwrap();
        name.to_owned()
    }

    /// Waits until the cache has seen what was committed.
    pub(crate) async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        clock::Clock::system().sleep(Duration::from_millis(20)).await;
    }

    pub(crate) async fn join(&self, token: &str, machine: &Machine) -> Result<Issued, Error> {
        let request = JoinRequest {
            proof: Proof::Token(SecretString::from(token)),
            role: SystemRole::Bot,
            tls_key: machine.tls.public().clone(),
            ssh_key: machine.ssh.public().clone(),
            expires: None,
            host: Default::default(),
        };
        joining::join(&self.auth, &Caller::anonymous("192.0.2.7:4711"), request).await
    }

    pub(crate) fn caller(&self, issued: &Issued) -> Result<Caller, Error> {
        let certificate = issued.tls.clone().unwrap();
        self.auth.authenticate(&Presented::Certificate(Arc::new(certificate)), "192.0.2.7:4711")
    }

    /// Removes an instance without leaving a tombstone: what a restore of an older copy does.
    pub(crate) async fn forget_instance(&self, instance: &str) {
        for key in
            [storage::Key::new("tessera_lineage", instance), storage::Key::with_sub("bot_instance", "ci", instance)]
        {
            self.backend.batch(Batch::new().delete(key)).await.unwrap();
        }
    }

    /// Lays the audit chain as a process does that was just started.
    pub(crate) async fn chainer(&self) -> Chainer {
        let backend: Arc<dyn Backend> = Arc::clone(&self.backend) as _;
        let signer = KeyStoreSigner::open(&*backend, Arc::new(QuickKeys::new())).await.unwrap();
        let setup = Setup {
            backend,
            cluster: self.auth.cluster().to_owned(),
            clock: self.clock.clock(),
            random: Random::system(),
            signer: Arc::new(signer),
            sinks: Vec::new(),
            head_file: None,
            backlog: Arc::default(),
        };
        Chainer::open(setup).await.unwrap()
    }

    /// What was recorded since the start, as event types.
    pub(crate) async fn events(&self) -> Vec<String> {
        self.all_events().await.split_off(self.at_start)
    }

    /// Everything in the journal, as event types.
    pub(crate) async fn all_events(&self) -> Vec<String> {
        let page = self.backend.journal_read(None, 1000).await.unwrap();
        page.records
            .iter()
            .filter_map(|record| audit::Entry::read(record.entry.value.clone()).ok())
            .map(|entry| entry.event)
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.supervisor.stop().hard();
    }
}
