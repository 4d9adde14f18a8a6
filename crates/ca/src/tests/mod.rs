//! The authorities end to end, checked by `openssl` and `ssh-keygen`.

mod golden;
mod others;
mod properties;
mod sshd;
mod tls;
mod tokens;

use std::path::PathBuf;
use std::process::Command;

use clock::{Clock, ManualClock, Timestamp};
use crypto::{Algorithm, KeyPair, PublicKey, Random};
use domain::ca::CaType;
use domain::identity::Identity;
use domain::resources::cert_authority::CertAuthority;
use domain::suite::Suite;
use keystore::{SealingKey, SoftwareKeyStore};

use crate::authority::new_authority;

const CLUSTER: &str = "tessera.example.com";

/// A key store, a clock that stands still, fixed randomness.
struct World {
    keys: SoftwareKeyStore,
    clock: Clock,
    random: Random,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            keys: SoftwareKeyStore::new(vec![SealingKey::new(&[1; 32])], Random::system()).unwrap(),
            clock: ManualClock::new(now()).clock(),
            random: Random::seeded(1),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    async fn authority(&self, ca_type: CaType, suite: Suite) -> CertAuthority {
        new_authority(ca_type, CLUSTER, suite, &self.keys, &self.clock, &self.random).await.unwrap()
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn later(seconds: u64) -> Timestamp {
    now().checked_add(std::time::Duration::from_secs(seconds)).unwrap()
}

fn identity() -> Identity {
    Identity {
        username: "bot-ünï".to_owned(),
        roles: vec!["writer".to_owned(), "access".to_owned()],
        principals: vec!["root".to_owned(), "alice".to_owned()],
        traits: [("logins".to_owned(), vec!["root".to_owned(), "alice".to_owned()])].into(),
        teleport_cluster: CLUSTER.to_owned(),
        bot_name: "ünï".to_owned(),
        bot_instance_id: "0f3b".to_owned(),
        renewable: true,
        generation: 3,
        expires: Some(later(3600)),
        ..Identity::default()
    }
}

fn subject_key(algorithm: Algorithm) -> PublicKey {
    KeyPair::generate(algorithm).unwrap().public().clone()
}

/// Runs a program; its output, and whether it was content.
fn try_run(program: &str, arguments: &[&str]) -> (String, bool) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (text, output.status.success())
}

fn run(program: &str, arguments: &[&str]) -> String {
    let (text, content) = try_run(program, arguments);
    assert!(content, "{program} {arguments:?}: {text}");
    text
}
