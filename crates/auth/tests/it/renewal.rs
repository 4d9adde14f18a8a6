//! Renewals: generations, lost answers, copies, restored stores, the grace.

use std::time::Duration;

use auth::{
    Caller, Issued,
    certificates::user::{UserCertificates, issue},
    instances::grace::{GraceRequest, renew_in_grace, signed_bytes},
};
use clock::Timestamp;
use domain::{Error, error::Kind, resources::Lock};

use crate::harness::{Cluster, GRACE, Machine};

async fn renew(cluster: &Cluster, held: &Issued, fresh: &Machine) -> Result<Issued, Error> {
    let caller = cluster.caller(held)?;
    let request = UserCertificates {
        username: caller.name().to_owned(),
        tls_key: Some(fresh.tls.public().clone()),
        ssh_key: Some(fresh.ssh.public().clone()),
        ..UserCertificates::default()
    };
    issue(&cluster.auth, &caller, request).await
}

fn generation(cluster: &Cluster, issued: &Issued) -> u64 {
    cluster.caller(issued).unwrap().identity().generation
}

#[tokio::test]
async fn a_bot_renews_with_fresh_keys_and_the_next_generation() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let mut held = cluster.join(&token, &Machine::new()).await.unwrap();
    for expected in 2..6 {
        cluster.clock.advance(Duration::from_secs(60));
        held = renew(&cluster, &held, &Machine::new()).await.unwrap();
        assert_eq!(generation(&cluster, &held), expected);
    }
}

#[tokio::test]
async fn a_copy_that_renews_locks_the_instance_and_not_the_bot() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let stolen = cluster.join(&token, &Machine::new()).await.unwrap();
    let honest = renew(&cluster, &stolen, &Machine::new()).await.unwrap();
    let error = renew(&cluster, &stolen, &Machine::new()).await.unwrap_err();
    assert_eq!(error.message, "renewable cert generation mismatch: stored=2, presented=1");
    cluster.settle().await;
    let locks = cluster.auth.store().all::<Lock>().await.unwrap();
    assert_eq!(locks.len(), 1);
    assert!(locks[0].spec.target.user.is_empty() && !locks[0].spec.target.bot_instance_id.is_empty());
    let error = cluster.caller(&honest).unwrap_err();
    assert!(error.message.starts_with("lock targeting BotInstanceID:"), "{}", error.message);
    // The bot itself goes on: another machine joins it.
    let token = cluster.token("secret-token-2").await;
    assert!(cluster.join(&token, &Machine::new()).await.is_ok());
}

#[tokio::test]
async fn a_renewal_whose_answer_was_lost_is_no_copy() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let held = cluster.join(&token, &Machine::new()).await.unwrap();
    let fresh = Machine::new();
    renew(&cluster, &held, &fresh).await.unwrap();
    let again = renew(&cluster, &held, &fresh).await.unwrap();
    assert_eq!(generation(&cluster, &again), 2);
    assert!(cluster.auth.store().all::<Lock>().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_used_credential_ends_the_repeats_of_its_answer() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let held = cluster.join(&token, &Machine::new()).await.unwrap();
    let fresh = Machine::new();
    let second = renew(&cluster, &held, &fresh).await.unwrap();
    let caller = cluster.caller(&second).unwrap();
    output(&cluster, &caller).await.unwrap();
    let error = renew(&cluster, &held, &fresh).await.unwrap_err();
    assert!(error.message.starts_with("renewable cert generation mismatch"), "{}", error.message);
}

async fn output(cluster: &Cluster, caller: &Caller) -> Result<Issued, Error> {
    let machine = Machine::new();
    let request = UserCertificates {
        tls_key: Some(machine.tls.public().clone()),
        ssh_key: Some(machine.ssh.public().clone()),
        role_requests: vec!["deployer".into()],
        use_role_requests: true,
        ..UserCertificates::default()
    };
    issue(&cluster.auth, caller, request).await
}

#[tokio::test]
async fn an_output_carries_the_role_and_can_take_on_nothing_further() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let held = cluster.join(&token, &Machine::new()).await.unwrap();
    let caller = cluster.caller(&held).unwrap();
    let issued = output(&cluster, &caller).await.unwrap();
    let ssh = issued.ssh.clone().unwrap();
    assert_eq!(ssh.principals(), ["deploy", "-teleport-internal-join"]);
    assert!(issued.tls.clone().unwrap().not_after() <= held.tls.clone().unwrap().not_after());
    let taken_on = cluster.caller(&issued).unwrap();
    assert_eq!((taken_on.name(), taken_on.identity().roles.as_slice()), ("bot-ci", ["deployer".to_owned()].as_slice()));
    assert_eq!(output(&cluster, &taken_on).await.unwrap_err().kind(), Kind::Denied);
    // A role that exists but that the bot may not take on, and one that does not exist, look the same.
    for role in ["access", "nothing"] {
        let request = UserCertificates {
            tls_key: Some(Machine::new().tls.public().clone()),
            role_requests: vec![role.into()],
            use_role_requests: true,
            ..UserCertificates::default()
        };
        assert_eq!(issue(&cluster.auth, &caller, request).await.unwrap_err().kind(), Kind::Denied, "{role}");
    }
}

#[tokio::test]
async fn a_bot_ahead_of_a_restored_store_is_believed_and_old_tokens_are_refused() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let joined = cluster.join(&token, &Machine::new()).await.unwrap();
    let instance = cluster.caller(&joined).unwrap().identity().bot_instance_id.clone();
    let old_token = cluster.token("made-before-the-restore").await;
    let ahead = renew(&cluster, &joined, &Machine::new()).await.unwrap();
    // What a restore of a copy from before the join leaves: no record and no tombstone.
    cluster.forget_instance(&instance).await;
    let next = renew(&cluster, &ahead, &Machine::new()).await.unwrap();
    assert_eq!(generation(&cluster, &next), 3);
    assert!(cluster.auth.store().all::<Lock>().await.unwrap().is_empty());
    assert!(cluster.events().await.contains(&"tessera.bot.rollback_tolerated".to_owned()));
    let error = cluster.join(&old_token, &Machine::new()).await.unwrap_err();
    assert!(error.message.contains("made before a restore"), "{}", error.message);
    let new_token = cluster.token("made-after-the-restore").await;
    assert!(cluster.join(&new_token, &Machine::new()).await.is_ok());
}

#[tokio::test]
async fn a_second_restore_refuses_the_tokens_made_since_the_first() {
    let cluster = Cluster::start().await;
    cluster.with_bot().await;
    let cluster = cluster.restored().await;
    let between = cluster.token("made-between-the-restores").await;
    let cluster = cluster.restored().await;
    let error = cluster.join(&between, &Machine::new()).await.unwrap_err();
    assert!(error.message.contains("made before a restore"), "{}", error.message);
    let after = cluster.token("made-after-both").await;
    assert!(cluster.join(&after, &Machine::new()).await.is_ok());
}

#[tokio::test]
async fn a_second_restore_that_only_a_bot_shows_refuses_the_tokens_made_since_the_first() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let early = cluster.join(&token, &Machine::new()).await.unwrap();
    let early_instance = cluster.caller(&early).unwrap().identity().bot_instance_id.clone();
    let early = renew(&cluster, &early, &Machine::new()).await.unwrap();
    cluster.clock.advance(Duration::from_secs(60));
    let cluster = cluster.restored().await;

    // A bot of the time before the first restore shows that one, which is known: nothing made since is refused for it.
    cluster.clock.advance(Duration::from_secs(60));
    let since = [cluster.token("since-1").await, cluster.token("since-2").await, cluster.token("since-3").await];
    cluster.forget_instance(&early_instance).await;
    renew(&cluster, &early, &Machine::new()).await.unwrap();
    let held = cluster.join(&since[0], &Machine::new()).await.unwrap();

    // One that joined after the first and is not known any more shows a second.
    let instance = cluster.caller(&held).unwrap().identity().bot_instance_id.clone();
    cluster.forget_instance(&instance).await;
    cluster.join(&since[1], &Machine::new()).await.expect("nobody has noticed anything yet");
    renew(&cluster, &held, &Machine::new()).await.unwrap();
    let error = cluster.join(&since[2], &Machine::new()).await.unwrap_err();
    assert_eq!(error.reason, Some(domain::error::Reason::TokenBeforeRestore), "{error}");
    let status = auth::status::status(&cluster.auth, &cluster.admin()).await.unwrap();
    assert!(status.reasons.iter().any(|reason| reason.text.matches("2027-").count() == 2), "{:?}", status.reasons);
}

/// Signs a question with the key that `held` belongs to, as a bot does after a weekend without power.
pub(crate) async fn in_grace(
    cluster: &Cluster,
    held: &Issued,
    old: &Machine,
    fresh: &Machine,
) -> Result<Issued, Error> {
    let nonce = cluster.auth.nonce();
    let question = b"the encoded question".to_vec();
    let request = GraceRequest {
        certificate: held.tls.clone().unwrap().der().to_vec(),
        signature: old.tls.sign(&signed_bytes(cluster.auth.cluster(), &nonce, &question)).unwrap(),
        signed_question: question,
        tls_key: fresh.tls.public().clone(),
        ssh_key: fresh.ssh.public().clone(),
        expires: None::<Timestamp>,
    };
    renew_in_grace(&cluster.auth, &Caller::anonymous("192.0.2.7:4711"), &nonce, request).await
}

#[tokio::test]
async fn an_expired_bot_renews_within_the_grace_with_its_old_key_only() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let old = Machine::new();
    let held = cluster.join(&token, &old).await.unwrap();
    cluster.clock.advance(Duration::from_secs(60 * 3600));
    assert_eq!(cluster.caller(&held).unwrap_err().kind(), Kind::Denied, "an expired certificate is no caller");
    let foreign = in_grace(&cluster, &held, &Machine::new(), &Machine::new()).await.unwrap_err();
    assert_eq!(foreign.kind(), Kind::Denied);
    let fresh = in_grace(&cluster, &held, &old, &Machine::new()).await.unwrap();
    assert_eq!(generation(&cluster, &fresh), 2);
    assert!(cluster.events().await.contains(&"tessera.bot.grace_renewal".to_owned()));
}

#[tokio::test]
async fn after_the_grace_a_bot_is_told_what_to_do() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let old = Machine::new();
    let held = cluster.join(&token, &old).await.unwrap();
    cluster.clock.advance(GRACE + Duration::from_secs(2 * 3600));
    let error = in_grace(&cluster, &held, &old, &Machine::new()).await.unwrap_err();
    assert!(error.message.contains("tctl bots instances add ci"), "{}", error.message);
}

#[tokio::test]
async fn a_lock_acts_on_the_grace_too() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let old = Machine::new();
    let held = cluster.join(&token, &old).await.unwrap();
    let mut lock = Lock::new("l", Default::default());
    lock.spec.target.user = "bot-ci".into();
    cluster.auth.store().change().create(&lock).unwrap().commit().await.unwrap();
    cluster.settle().await;
    cluster.clock.advance(Duration::from_secs(7200));
    let error = in_grace(&cluster, &held, &old, &Machine::new()).await.unwrap_err();
    assert!(error.message.starts_with("lock targeting User:\"bot-ci\" is in force"), "{}", error.message);
}

#[tokio::test]
async fn an_overheard_grace_renewal_is_good_for_another_nonce_cluster_or_question() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let (old, thief) = (Machine::new(), Machine::new());
    let held = cluster.join(&token, &old).await.unwrap();
    cluster.clock.advance(Duration::from_secs(2 * 3600));
    let (nonce, question) = (cluster.auth.nonce(), b"the encoded question".to_vec());
    let overheard = |cluster_name: &str| old.tls.sign(&signed_bytes(cluster_name, &nonce, &question)).unwrap();
    let own = cluster.auth.cluster().to_owned();
    let cases = [
        ("another nonce", cluster.auth.nonce(), question.clone(), overheard(&own)),
        ("another cluster", nonce, question.clone(), overheard("other.example")),
        ("another question", nonce, b"the thief's keys".to_vec(), overheard(&own)),
        ("no signature", nonce, question.clone(), Vec::new()),
    ];
    for (what, nonce, signed_question, signature) in cases {
        let request = GraceRequest {
            certificate: held.tls.clone().unwrap().der().to_vec(),
            signature,
            signed_question,
            tls_key: thief.tls.public().clone(),
            ssh_key: thief.ssh.public().clone(),
            expires: None,
        };
        let answer = renew_in_grace(&cluster.auth, &Caller::anonymous("192.0.2.7:4711"), &nonce, request).await;
        assert_eq!(answer.err().map(|error| error.kind()), Some(Kind::Denied), "{what}");
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_locks_nobody_out() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let held = cluster.join(&token, &Machine::new()).await.unwrap();
    let right = cluster.clock.clock().now();
    cluster.clock.set(right.checked_sub(Duration::from_secs(3600)).unwrap());
    // By this clock the bot is not made yet: what is issued to it now would be nobody's, for ever.
    let error = renew(&cluster, &held, &Machine::new()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    cluster.clock.set(right);
    let held = renew(&cluster, &held, &Machine::new()).await.unwrap();
    output(&cluster, &cluster.caller(&held).unwrap()).await.unwrap();
}
