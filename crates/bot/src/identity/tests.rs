use std::{path::Path, sync::Arc, time::Duration};

use clock::{Clock, ManualClock, Timestamp};
use crypto::{Algorithm, KeyPair, Random, x509::Certificate};
use domain::{ca::CaType, identity::Identity, suite::Suite};
use keystore::{SealingKey, SoftwareKeyStore};

use super::*;
use crate::{
    BotError, Config,
    config::Destination,
    renewal::{
        driver::Driver,
        machine::{Step, Way},
    },
};

const CLUSTER: &str = "example.test";

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("a time")
}

/// What an auth service would answer for this key.
async fn issue(key: &KeyPair, generation: u64, life: Duration) -> Certificates {
    let store = SoftwareKeyStore::new(vec![SealingKey::new(&[1; 32])], Random::system()).expect("a store");
    let (clock, random) = (ManualClock::new(now()).clock(), Random::system());
    let suite = Suite::BalancedV1;
    let user = ca::authority::new_authority(CaType::User, CLUSTER, suite, &store, &clock, &random).await.expect("user");
    let host = ca::authority::new_authority(CaType::Host, CLUSTER, suite, &store, &clock, &random).await.expect("host");
    let identity = Identity {
        username: "bot-example".into(),
        roles: vec!["bot-example".into()],
        teleport_cluster: CLUSTER.into(),
        bot_name: "example".into(),
        renewable: true,
        generation,
        ..Identity::default()
    };
    let (public, end) = (key.public().clone(), now() + life);
    let template = ca::x509::user_template(&identity, public.clone(), now(), end);
    let signer = ca::authority::tls_signer(&user).expect("a signer");
    let tls = ca::x509::issue(&template, &signer, &store, &random).await.expect("issued");
    let template = ca::ssh::user_template(&identity, public, now(), end, &random);
    let signer = ca::authority::ssh_signer(&user).expect("a signer");
    let ssh = ca::ssh::issue(&template, &signer, &store, &random).await.expect("issued");
    let authorities = ca::authority::trusted_certificates(&host).expect("readable");
    Certificates {
        tls: tls.to_pem(),
        ssh: ssh.to_line().trim().to_owned(),
        tls_authorities: authorities.iter().map(Certificate::to_pem).collect(),
        ssh_authorities: Vec::new(),
    }
}

fn key() -> KeyPair {
    KeyPair::generate(Algorithm::EcdsaP256).expect("a key")
}

fn open(path: &Path) -> State {
    State::open(&Destination::directory(path)).expect("open")
}

fn join(hash: &str) -> Question {
    Question::Join { token_hash: hash.into() }
}

#[tokio::test]
async fn a_question_survives_with_its_keys_and_an_answer_survives_a_crash_at_any_write() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().canonicalize().expect("there").join("state");
    let pending = Pending { key: key(), question: join("h") };
    open(&path).ask(&pending).expect("durable");

    let state = open(&path);
    let asked = state.pending().expect("readable").expect("pending");
    assert_eq!(asked.question, pending.question);
    assert_eq!(asked.key.public(), pending.key.public());
    assert!(state.load().expect("readable").is_none(), "no identity before an answer");

    let answer = issue(&pending.key, 1, Duration::from_secs(3600)).await;
    state.put(&asked, Some(answer.clone())).expect("the answer is durable");
    drop(state);
    // The process dies here, and after each of the single files in turn.
    for written in ["", "key", "key.pub", "key-cert.pub", "tlscert", "tlscacerts"] {
        let copy = home.path().canonicalize().expect("there").join(format!("copy-{written}"));
        std::fs::create_dir(&copy).expect("made");
        std::fs::copy(path.join("pending"), copy.join("pending")).expect("copied");
        if !written.is_empty() {
            std::fs::write(copy.join(written), b"from an older identity").expect("written");
        }
        let state = open(&copy);
        let identity = state.load().expect("unpacked").expect("an identity");
        assert_eq!(identity.key().public(), pending.key.public());
        assert!(state.pending().expect("readable").is_none());
        assert_eq!(state.joined_with().expect("readable").as_deref(), Some("h"));
        assert_eq!(state.load().expect("again").expect("still there").certificates().tls, answer.tls);
    }
}

/// Asking again with the old identity and other keys would look like a copy of the bot, and lock it.
#[tokio::test]
async fn an_answer_that_cannot_be_unpacked_is_in_force_and_is_never_written_over() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().canonicalize().expect("there");
    let state = open(&path);
    let pending = Pending { key: key(), question: join("h") };
    state.ask(&pending).expect("durable");
    // Stands for a disk that is full after the answer itself was written.
    std::fs::create_dir(path.join("key.pub")).expect("in the way");
    let answer = issue(&pending.key, 2, Duration::from_secs(3600)).await;
    let identity = state.answered(&pending, answer).expect("the answer is durable");
    assert_eq!(identity.says().generation, 2);
    assert!(state.pending().is_err(), "nothing new is asked as long as the answer lies in its place");
    drop(state);

    let state = open(&path);
    let identity = state.load().expect("still not unpacked").expect("and in force after a restart");
    assert_eq!(identity.says().generation, 2);
    assert_eq!(state.joined_with().expect("readable").as_deref(), Some("h"));
    std::fs::remove_dir(path.join("key.pub")).expect("out of the way");
    assert!(state.pending().expect("unpacked").is_none());
    assert_eq!(state.load().expect("readable").expect("an identity").says().generation, 2);
    assert!(!path.join("pending").exists());
}

#[tokio::test]
async fn an_answer_for_another_key_is_refused_and_changes_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    let state = open(&home.path().canonicalize().expect("there"));
    let pending = Pending { key: key(), question: join("h") };
    state.ask(&pending).expect("durable");
    let foreign = issue(&key(), 1, Duration::from_secs(3600)).await;
    assert!(matches!(state.answered(&pending, foreign), Err(StateError::Damaged { .. })));
    assert!(state.load().expect("readable").is_none());
    assert!(state.pending().expect("readable").is_some(), "the question can still be asked");
}

#[tokio::test]
async fn one_process_for_each_state_and_keys_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().canonicalize().expect("there").join("state");
    let state = open(&path);
    let again = State::open(&Destination::directory(&path)).err().expect("held");
    assert!(crate::renewal::driver::chain(&again).contains("another tbot"), "{again:?}");
    let pending = Pending { key: key(), question: join("h") };
    state.ask(&pending).expect("durable");
    state.answered(&pending, issue(&pending.key, 1, Duration::from_secs(60)).await).expect("kept");
    for entry in std::fs::read_dir(&path).expect("listed") {
        let entry = entry.expect("there");
        let mode = entry.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

fn driver(path: &Path, config: &str, now: Timestamp) -> Result<Driver, BotError> {
    let text = format!("version: v2\nauth_server: 127.0.0.1:1\n{config}");
    let config = Arc::new(Config::parse(&text, "t.yaml").expect("good"));
    let clock: Clock = ManualClock::new(now).clock();
    let exchange = Exchange { config, clock, random: Random::seeded(1), proxies: Default::default() };
    Driver::load(exchange, Arc::new(open(path)))
}

#[tokio::test]
async fn a_start_finds_out_what_there_is() {
    const PIN: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let with_token = |token: &str| format!("onboarding: {{token: {token}, ca_pins: ['{PIN}']}}\n");
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().canonicalize().expect("there").join("state");
    assert!(matches!(driver(&path, "", now()), Err(BotError::Machine(_))), "neither identity nor token");
    assert!(driver(&path, "onboarding: {token: t}\n", now()).is_err(), "nothing to recognise the server by");
    let way = |config: &str, now| {
        let driver = driver(&path, config, now).expect("something to do");
        driver.machine.step(driver.now())
    };
    assert_eq!(way(&with_token("t"), now()), Step::Ask(Way::Join));

    let pending = Pending { key: key(), question: join(&token_hash("t")) };
    let state = open(&path);
    state.ask(&pending).expect("durable");
    state.answered(&pending, issue(&pending.key, 1, Duration::from_secs(3600)).await).expect("kept");
    drop(state);
    assert_eq!(way(&with_token("t"), now()), Step::Ask(Way::Renew));
    assert_eq!(way("", now()), Step::Ask(Way::Renew), "the token is not needed any more");
    assert_eq!(way("", now() + Duration::from_secs(7200)), Step::Ask(Way::Grace));
    assert_eq!(way(&with_token("other"), now()), Step::Ask(Way::Join), "another token means a new join");
}
