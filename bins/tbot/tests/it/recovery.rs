//! What a bot does after its certificate has ended, after a suspend, and under a clock that somebody has set.

use std::{path::PathBuf, time::Duration};

use bot::{Bot, Config, Overrides};
use clock::{Clock, ManualClock};
use crypto::Random;
use testkit::Options;

use crate::support::{World, generation, wait_until};

const NO_SERVICES: &str = "credential_ttl: 3s\nrenewal_interval: 1s\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_renewed_within_the_grace_and_a_person_is_asked_after_it() {
    for (grace, code, words) in [
        ("72h", 0, vec!["identity has expired", "bot identity renewed", "generation=2"]),
        ("1s", 5, vec!["cannot be renewed any more", "tctl bots instances add ci", "onboarding.token"]),
    ] {
        let options = Options { auth_service: format!("  bot_renewal_grace: {grace}\n"), ..Options::default() };
        let world = World::with(options).await;
        let token = world.token("t1").await;
        let config = world.config(&token, NO_SERVICES);
        let joined = world.once(&config);
        assert_eq!(joined.code, 0, "{}", joined.err);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let outcome = world.once(&config);
        assert_eq!(outcome.code, code, "grace {grace}\n{}", outcome.err);
        for word in words {
            assert!(outcome.err.contains(word), "grace {grace}: {word}\n{}", outcome.err);
        }
        if code != 0 {
            // What the message asks for works: another token, the same storage.
            let token = world.token("t2").await;
            let outcome = world.once(&world.config(&token, NO_SERVICES));
            assert_eq!(outcome.code, 0, "{}", outcome.err);
            assert_eq!(generation(&world.path("state")), 1, "a new instance");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspend_and_a_clock_that_jumps_need_no_person() {
    let world = World::new().await;
    let token = world.token("t1").await;
    let state: PathBuf = world.path("state");
    let config = Config::load(Some(&world.config(&token, "")), Overrides::default()).unwrap();
    let real = Clock::system();
    let manual = ManualClock::new(real.now());
    let bot = Bot {
        config,
        clock: manual.clock(),
        random: Random::system(),
        notify_socket: None,
        proxies: client::Proxies::default(),
    };
    let running = tokio::spawn(bot::run(bot));
    let becomes = |expect: u64| {
        let (state, manual) = (state.clone(), manual.clone());
        async move {
            wait_until(&format!("generation {expect}"), || {
                // Naps of half a minute end; no interval does.
                manual.advance(Duration::from_secs(1));
                generation(&state) == expect && !state.join("pending").exists()
            })
            .await;
            // The files are there; the bot has yet to note for itself until when they are good.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    becomes(1).await;
    // The machine slept past the end of the certificate, and its wall clock shows it.
    manual.advance(Duration::from_secs(3 * 3600));
    becomes(2).await;
    // Somebody sets the clock a day ahead or back, where the server's own certificate has ended or not begun: nothing
    // can be had until it is right again, and then everything by itself.
    let day = Duration::from_secs(24 * 3600);
    for (wrong, next) in [(real.now() + day, 3), (real.now() - day, 4)] {
        manual.set(wrong);
        manual.advance(Duration::from_secs(3600));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(generation(&state), next - 1);
        assert!(!running.is_finished(), "it goes on asking");
        manual.set(real.now());
        becomes(next).await;
    }
    running.abort();
}
