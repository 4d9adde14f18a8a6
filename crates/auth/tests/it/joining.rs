//! Joining with a one-time token.

use domain::{error::Kind, resources::Token};

use crate::harness::{Cluster, Machine};

#[tokio::test]
async fn a_token_is_spent_by_the_join_that_it_allows() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let issued = cluster.join(&token, &Machine::new()).await.unwrap();
    let caller = cluster.caller(&issued).unwrap();
    assert_eq!(caller.name(), "bot-ci");
    assert_eq!((caller.identity().generation, caller.identity().renewable), (1, true));
    assert!(cluster.auth.store().get::<Token>(&token).await.unwrap().is_none(), "the token is still there");
    let events = cluster.events().await;
    assert!(events.contains(&"bot.join".to_owned()) && events.contains(&"cert.create".to_owned()), "{events:?}");

    let thief = cluster.join(&token, &Machine::new()).await.unwrap_err();
    assert_eq!((thief.kind(), thief.message.as_str()), (Kind::Denied, "token expired or not found"));
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again_to_the_same_keys_only() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let machine = Machine::new();
    let first = cluster.join(&token, &machine).await.unwrap();
    let again = cluster.join(&token, &machine).await.unwrap();
    let (first, again) = (first.tls.unwrap(), again.tls.unwrap());
    assert_eq!(first.not_after(), again.not_after());
    assert_eq!(first.public_key().unwrap(), again.public_key().unwrap());
    assert!(cluster.events().await.contains(&"tessera.bot.renewal_repeat".to_owned()));
}

#[tokio::test]
async fn an_answer_with_a_new_end_is_given_again_until_that_end() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let machine = Machine::new();
    cluster.join(&token, &machine).await.unwrap();
    // Within the grace of the first end, then within the grace of the second and beyond that of the first.
    for hours in [60, 60] {
        cluster.clock.advance(std::time::Duration::from_secs(hours * 3600));
        let again = cluster.join(&token, &machine).await.unwrap();
        assert_eq!(cluster.caller(&again).unwrap().identity().generation, 1);
    }
}

#[tokio::test]
async fn only_one_of_two_machines_gets_in_with_one_token() {
    let cluster = Cluster::start().await;
    let token = cluster.with_bot().await;
    let (one, two) = (Machine::new(), Machine::new());
    let (a, b) = tokio::join!(cluster.join(&token, &one), cluster.join(&token, &two));
    assert!(a.is_ok() != b.is_ok(), "{:?} {:?}", a.err(), b.err());
}

#[tokio::test]
async fn a_stranger_learns_nothing_about_tokens() {
    let cluster = Cluster::start().await;
    cluster.with_bot().await;
    for token in ["", "nothing", "../../etc/passwd", "\u{0}", "secret-token-1 "] {
        let error = cluster.join(token, &Machine::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.message.as_str()), (Kind::Denied, "token expired or not found"), "{token:?}");
    }
}
