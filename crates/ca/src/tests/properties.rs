//! Whatever a template says, the certificate says the same, or there is none.

use clock::Timestamp;
use crypto::{Algorithm, KeyPair, Random};
use domain::ca::CaType;
use domain::suite::Suite;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{World, identity, later, now};
use crate::authority::{ssh_signer, tls_signer};
use crate::x509::{AlternativeNames, Template, Usage};
use crate::{ssh, x509};

fn runner() -> TestRunner {
    TestRunner::new(Config { failure_persistence: None, ..Config::default() })
}

fn with_signers(run: impl Fn(&World, &x509::Signer, &keystore::StoredKey)) {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ca = runtime.block_on(world.authority(CaType::User, Suite::BalancedV1));
    run(&world, &tls_signer(&ca).unwrap(), &ssh_signer(&ca).unwrap());
}

#[test]
fn a_body_says_what_its_template_says() {
    let attribute = (
        prop_oneof![
            "2\\.5\\.4\\.(3|5|6|10|11|7|8|9|17|12)",
            "1\\.3\\.9999\\.[1-3]\\.[1-9][0-9]{0,3}",
            "2\\.39\\.4294967295",
            "0\\.9\\.[1-9]"
        ],
        ".{0,40}",
    );
    let templates = (
        proptest::collection::vec(attribute, 1..12),
        proptest::collection::vec("[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?(\\.[a-z]{1,5}){0,3}", 0..4),
        proptest::collection::vec(any::<std::net::IpAddr>(), 0..3),
        0_i64..9 * 365 * 24 * 3600,
        prop_oneof![Just(Usage::Leaf), Just(Usage::Svid), Just(Usage::Client)],
    );
    let public_key = KeyPair::from_ed25519_seed(&[9; 32]).unwrap().public().clone();
    with_signers(|world, tls, _| {
        let mut runner = runner();
        let outcome = runner.run(&templates, |(subject, dns, ip, seconds, usage)| {
            let names = AlternativeNames { dns, ip, uris: Vec::new() };
            let not_after = Timestamp::from_second(now().as_second() + seconds).unwrap();
            let public_key = public_key.clone();
            let template =
                Template { subject, public_key, not_before: crate::not_before(now()), not_after, names, usage };
            // The lint inside is the assertion.
            prop_assert!(x509::to_be_signed(&template, tls, &world.random).is_ok());
            Ok(())
        });
        outcome.unwrap();
    });
}

#[test]
fn an_ssh_body_says_what_its_template_says() {
    let templates = (
        proptest::collection::vec(".{1,20}", 1..6),
        proptest::collection::btree_map("[a-z@.-]{1,12}", ".{0,30}", 0..6),
        ".{0,30}",
    );
    with_signers(|world, _, signer| {
        let subject = KeyPair::generate(Algorithm::EcdsaP256).unwrap().public().clone();
        let mut runner = runner();
        let outcome = runner.run(&templates, |(principals, extensions, key_id)| {
            let base = ssh::user_template(&identity(), subject.clone(), now(), later(60), &world.random);
            let extensions: Vec<_> = extensions.into_iter().collect();
            let critical_options = extensions.clone();
            let template = ssh::Template { principals, extensions, critical_options, key_id, ..base };
            prop_assert!(ssh::to_be_signed(&template, signer, &world.random).is_ok());
            Ok(())
        });
        outcome.unwrap();
    });
}

#[test]
fn times_are_written_as_the_standard_demands() {
    let cases = [
        ("1969-12-31T23:59:59Z", "\x17\r691231235959Z"),
        ("2049-12-31T23:59:59.999Z", "\x17\r491231235959Z"),
        ("2050-01-01T00:00:00Z", "\x18\x0f20500101000000Z"),
    ];
    for (time, expected) in cases {
        assert_eq!(x509::encode::time(time.parse().unwrap()), expected.as_bytes(), "{time}");
    }
}

/// `cargo test -p ca -- --ignored --nocapture speed`: the budget for a pair is 100 µs in a release build.
#[test]
#[ignore = "a measurement"]
fn speed() {
    use std::time::Instant;

    with_signers(|world, tls, ssh_key| {
        let subject = KeyPair::generate(Algorithm::EcdsaP256).unwrap().public().clone();
        let user = x509::user_template(&identity(), subject.clone(), now(), later(60));
        let login = ssh::user_template(&identity(), subject, now(), later(60), &world.random);
        let random = Random::system();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // The best of many short runs: what the work costs, not what the neighbours take.
        let measure = |what: &str, run: &dyn Fn()| {
            let best = (0..40).map(|_| {
                #[allow(clippy::disallowed_methods, reason = "a measurement")]
                let start = Instant::now();
                (0..50).for_each(|_| run());
                start.elapsed() / 50
            });
            println!("{what}: {:?}", best.min().unwrap());
        };
        measure("X.509 body with lint", &|| drop(x509::to_be_signed(&user, tls, &random).unwrap()));
        measure("X.509", &|| drop(runtime.block_on(x509::issue(&user, tls, &world.keys, &random)).unwrap()));
        measure("SSH body with lint", &|| drop(ssh::to_be_signed(&login, ssh_key, &random).unwrap()));
        measure("SSH", &|| drop(runtime.block_on(ssh::issue(&login, ssh_key, &world.keys, &random)).unwrap()));
        let tbs = x509::to_be_signed(&user, tls, &random).unwrap();
        measure("reading a body", &|| drop(crypto::x509::Body::from_der(&tbs).unwrap()));
    });
}
