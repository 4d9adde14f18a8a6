//! A cluster with a bot in it, and the program as a child process.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    time::Duration,
};

use api::{
    r#gen::{proto, teleport::machineid::v1::CreateBotRequest},
    methods::{
        proto::auth_service::{CreateTokenV2, UpsertRoleV2},
        teleport::machineid::v1::bot_service::CreateBot,
    },
};
use client::Client;
use crypto::x509::Certificate;
use domain::{Resource, identity::Identity};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Cluster, Options};

/// A cluster with the bot `ci`, which may become `deployer` and `reader`.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) home: TempDir,
}

/// What a child process left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let cluster = Cluster::start_with(options).await;
        let admin = cluster.admin().await;
        for role in ["deployer", "reader"] {
            let role = document(json!({"kind": "role", "version": "v7", "metadata": {"name": role},
                "spec": {"allow": {"logins": [role]}}}));
            let request = proto::UpsertRoleRequest { role: Some(api::convert::role::to_wire(&role)) };
            admin.call::<UpsertRoleV2>(request).await.unwrap();
        }
        let bot = document(json!({"kind": "bot", "version": "v1", "metadata": {"name": "ci"},
            "spec": {"roles": ["deployer", "reader"]}}));
        let request = CreateBotRequest { bot: Some(api::convert::bot::to_wire(&bot)) };
        admin.call::<CreateBot>(request).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        Self { cluster, home }
    }

    /// A token with which one machine joins.
    pub(crate) async fn token(&self, name: &str) -> String {
        token(&self.cluster.admin().await, name).await
    }

    pub(crate) fn pin(&self) -> String {
        self.cluster.server().auth().host_certificates().unwrap()[0].pin()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().canonicalize().unwrap().join(name)
    }

    /// A configuration whose state lies in `state`; `more` are further lines.
    pub(crate) fn config(&self, token: &str, more: &str) -> PathBuf {
        self.config_for(&self.cluster.address().to_string(), token, more)
    }

    pub(crate) fn config_for(&self, address: &str, token: &str, more: &str) -> PathBuf {
        let path = self.path("tbot.yaml");
        let (pin, state) = (self.pin(), self.path("state"));
        let text = format!(
            "version: v2\nauth_server: {address}\nonboarding: {{join_method: token, token: {token}, ca_pins: ['{pin}']}}\n\
             storage: {{type: directory, path: {}}}\n{more}\n",
            state.display()
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// One start in one-shot mode.
    pub(crate) fn once(&self, config: &Path) -> Outcome {
        tbot(&[], &["start", "--oneshot", "-c", config.to_str().unwrap()])
    }
}

async fn token(admin: &Client, name: &str) -> String {
    let token = document(json!({"kind": "token", "version": "v2", "metadata": {"name": name},
        "spec": {"roles": ["Bot"], "join_method": "token", "bot_name": "ci"}}));
    let token = proto::create_token_v2_request::Token::V2(api::convert::token::to_wire(&token));
    admin.call::<CreateTokenV2>(proto::CreateTokenV2Request { token: Some(token) }).await.unwrap();
    name.to_owned()
}

pub(crate) fn document<T: Resource>(value: Value) -> T {
    let mut document: T = serde_json::from_value(value).unwrap();
    document.set_defaults();
    document
}

fn command(environment: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tbot"));
    // The test's own proxies and addresses are not the program's.
    command.env_clear().env("PATH", "/usr/bin:/bin").envs(environment.iter().copied()).args(arguments);
    command
}

/// Runs the program to its end.
pub(crate) fn tbot(environment: &[(&str, &str)], arguments: &[&str]) -> Outcome {
    let Output { status, stdout, stderr } = command(environment, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Outcome { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

/// The program as a service, stopped when this is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// All that it says.
    log: PathBuf,
}

impl Running {
    pub(crate) fn start(world: &World, config: &Path) -> Self {
        Self::of(world, &["start", "-c", config.to_str().unwrap()])
    }

    pub(crate) fn of(world: &World, arguments: &[&str]) -> Self {
        let log = world.path("log");
        let file = std::fs::File::create(&log).unwrap();
        let mut command = command(&[], arguments);
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { child, log }
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The port of this machine that it names in a line with `words`, once it has said that.
    pub(crate) async fn port(&self, words: &str) -> u16 {
        let mut port = None;
        wait_until(words, || {
            let log = self.log();
            // The last line may be on its way.
            let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
            port = whole.lines().filter(|line| line.contains(words)).find_map(|line| {
                let (_, rest) = line.rsplit_once("127.0.0.1:")?;
                rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
            });
            port.is_some()
        })
        .await;
        port.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits in real time: the condition is another process's.
pub(crate) async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..600 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within 30 s: {what}");
}

/// The generation of the stored identity; 0 when there is none.
pub(crate) fn generation(state: &Path) -> u64 {
    let text = std::fs::read_to_string(state.join("tlscert")).unwrap_or_default();
    let certificate = Certificate::from_pem(&text).ok();
    certificate.and_then(|found| Identity::from_subject(found.subject()).ok()).map_or(0, |says| says.generation)
}
