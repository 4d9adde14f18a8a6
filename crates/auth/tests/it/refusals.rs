//! Why somebody is refused: told as a reason that programs go by, and recorded as it is.

use std::time::Duration;

use auth::{
    Auth, Issued, Presented,
    certificates::user::{UserCertificates, issue},
    locks,
};
use domain::{
    Error,
    error::{Kind, Reason},
    resources::{Token, token::JoinMethod},
    role::SystemRole,
};

use crate::{
    harness::{Cluster, GRACE, Machine},
    locks::lock,
    renewal::in_grace,
};

async fn renew(cluster: &Cluster, held: &Issued, machine: &Machine) -> Result<Issued, Error> {
    let request = UserCertificates {
        tls_key: Some(machine.tls.public().clone()),
        ssh_key: Some(machine.ssh.public().clone()),
        ..UserCertificates::default()
    };
    issue(&cluster.auth, &cluster.caller(held)?, request).await
}

fn why(answer: Result<Issued, Error>) -> Option<Reason> {
    answer.err().and_then(|error| error.reason)
}

#[tokio::test]
async fn a_bot_is_told_a_reason_for_each_refusal() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let token = cluster.with_bot().await;
    let old = Machine::new();
    let held = cluster.join(&token, &old).await.unwrap();
    assert_eq!(why(cluster.join(&token, &Machine::new()).await), Some(Reason::TokenSpent));
    assert_eq!(why(cluster.join("nothing", &Machine::new()).await), Some(Reason::TokenUnknown));

    locks::upsert(auth, &admin, lock("l", |target| target.user = "bot-ci".into())).await.unwrap();
    cluster.settle().await;
    assert_eq!(why(renew(&cluster, &held, &Machine::new()).await), Some(Reason::Locked));
    let locked = cluster.token("for-a-locked-bot").await;
    assert_eq!(why(cluster.join(&locked, &Machine::new()).await), Some(Reason::Locked));
    locks::delete(auth, &admin, "l").await.unwrap();
    cluster.settle().await;

    let next = renew(&cluster, &held, &Machine::new()).await.unwrap();
    assert_eq!(why(renew(&cluster, &held, &Machine::new()).await), Some(Reason::GenerationMismatch));
    cluster.settle().await;
    assert_eq!(why(renew(&cluster, &next, &Machine::new()).await), Some(Reason::Locked), "the instance is locked");

    let (old, token) = (Machine::new(), cluster.token("another").await);
    let held = cluster.join(&token, &old).await.unwrap();
    let instance = cluster.caller(&held).unwrap().identity().bot_instance_id.clone();
    cluster.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(why(renew(&cluster, &held, &Machine::new()).await), Some(Reason::Expired));
    cluster.clock.advance(GRACE);
    assert_eq!(why(in_grace(&cluster, &held, &old, &Machine::new()).await), Some(Reason::GraceOver));

    let (old, token) = (Machine::new(), cluster.token("a-third").await);
    let held = cluster.join(&token, &old).await.unwrap();
    assert_ne!(cluster.caller(&held).unwrap().identity().bot_instance_id, instance);
    let instance = cluster.caller(&held).unwrap().identity().bot_instance_id.clone();
    auth::instances::delete(auth, &admin, "ci", &instance).await.unwrap();
    assert_eq!(why(renew(&cluster, &held, &Machine::new()).await), Some(Reason::UnknownInstance));
}

#[tokio::test]
async fn a_question_that_is_asked_too_often_is_recorded_once_in_each_pause() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let (held, fresh) = (cluster.join(&token, &Machine::new()).await.unwrap(), Machine::new());
    let mut refused = 0;
    for _ in 0..30 {
        match renew(&cluster, &held, &fresh).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!((error.kind(), error.reason), (Kind::Limit, Some(Reason::TooManyRepeats)), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 13, "one renewal and sixteen repeats are answered");
    let limited = async || {
        let records = cluster.records("tessera.bot.renewal_repeat").await;
        records.iter().filter(|record| record["code"] == "TSR011L").count()
    };
    assert_eq!(limited().await, 1);
    cluster.clock.advance(Duration::from_secs(601));
    renew(&cluster, &held, &fresh).await.unwrap();
    renew(&cluster, &held, &fresh).await.unwrap_err();
    assert_eq!(limited().await, 2);
}

async fn put(auth: &Auth, name: &str, change: impl FnOnce(&mut Token)) {
    let mut token = Token::new(name, Default::default());
    token.spec.roles = vec![SystemRole::Bot];
    token.spec.bot_name = "ci".into();
    change(&mut token);
    domain::Resource::set_defaults(&mut token);
    auth.store().change().create(&token).unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn failed_joins_are_recorded_by_their_true_reasons() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let auth = &cluster.auth;
    cluster.join(&token, &Machine::new()).await.unwrap();
    put(auth, "for-a-node", |token| token.spec.roles = vec![SystemRole::Node]).await;
    put(auth, "of-nobody", |token| token.spec.bot_name = "nobody".into()).await;
    put(auth, "by-github", |token| token.spec.join_method = JoinMethod::Github).await;
    for (name, kind, reason) in [
        ("nothing", Kind::Denied, Reason::TokenUnknown),
        (&token, Kind::Denied, Reason::TokenSpent),
        // What it is for is not told, only recorded.
        ("for-a-node", Kind::Denied, Reason::TokenUnknown),
        ("of-nobody", Kind::Denied, Reason::UnknownBot),
        ("by-github", Kind::Unsupported, Reason::MethodUnsupported),
    ] {
        let error = cluster.join(name, &Machine::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.reason), (kind, Some(reason)), "{name}: {error}");
    }
    cluster.join("nothing", &Machine::new()).await.unwrap_err();
    cluster.clock.advance(Duration::from_secs(11));
    cluster.settle().await;
    let mut reasons: Vec<_> = cluster
        .records("bot.join")
        .await
        .into_iter()
        .filter(|record| record["success"] == false)
        .map(|record| {
            let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
            (text("error"), text("method"), record["attempts"].as_u64().unwrap_or(1))
        })
        .collect();
    reasons.sort();
    let expected = [
        ("bot of the token does not exist", "token", 1_u64),
        ("join method or role is not supported yet", "token", 1_u64),
        ("token expired or not found", "unknown", 2_u64),
        ("token is for another role", "token", 1_u64),
        ("token was spent by another join", "token", 1_u64),
    ];
    let expected = expected.map(|(reason, method, attempts)| (reason.to_owned(), method.to_owned(), attempts));
    assert_eq!(reasons, expected);
}

#[tokio::test]
async fn a_guess_at_a_user_that_does_not_exist_is_recorded() {
    let cluster = Cluster::start().await;
    let person = cluster.person("person", vec![]).await;
    let request = |name: &str| UserCertificates {
        username: name.to_owned(),
        tls_key: Some(Machine::new().tls.public().clone()),
        ..UserCertificates::default()
    };
    let there = cluster.person("somebody", vec![]).await.name().to_owned();
    let mut answers = Vec::new();
    for name in [there.as_str(), "nobody"] {
        answers.push(issue(&cluster.auth, &person, request(name)).await.unwrap_err());
    }
    assert_eq!(answers[0], answers[1], "a refusal tells which users exist");
    cluster.clock.advance(Duration::from_secs(3));
    cluster.settle().await;
    let denied = cluster.records("tessera.access.denied").await;
    let guessed: Vec<_> = denied.iter().filter_map(|record| record["resource"].as_str()).collect();
    assert!(guessed.contains(&"nobody") && guessed.contains(&"somebody"), "{denied:?}");
    let admin = issue(&cluster.auth, &cluster.admin(), request("nobody")).await.unwrap_err();
    assert_eq!(admin.kind(), Kind::NotFound);
    assert!(cluster.auth.authenticate(&Presented::Nothing, "x").unwrap().is_anonymous());
}
