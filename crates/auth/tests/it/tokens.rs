//! Join tokens: what is kept, what is the server's, what is masked.

use auth::tokens::{self, Filter};
use domain::{
    error::Kind,
    metadata::STATIC_TOKEN,
    resources::{
        Token,
        token::{BoundKeypair, BoundKeypairRecovery, BoundKeypairStatus, JoinMethod, TokenStatus},
    },
    role::SystemRole,
};
use store::ListRequest;

use crate::harness::Cluster;

fn token(name: &str, bot: &str) -> Token {
    let mut token = Token::new(name, Default::default());
    token.spec.bot_name = bot.to_owned();
    token.spec.roles = vec![if bot.is_empty() { SystemRole::Node } else { SystemRole::Bot }];
    token
}

#[tokio::test]
async fn the_name_of_a_secret_token_is_masked_wherever_it_is_written() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    tokens::create(auth, &admin, token(SECRET, "ci")).await.unwrap();
    let error = tokens::create(auth, &admin, token(SECRET, "ci")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::AlreadyExists);
    assert!(!error.message.contains(SECRET), "{}", error.message);
    tokens::upsert(auth, &admin, token(SECRET, "ci")).await.unwrap();
    let alice = cluster.person("alice", vec![]).await;
    assert_eq!(tokens::get(auth, &alice, SECRET).await.unwrap_err().kind(), Kind::Denied);
    tokens::delete(auth, &admin, SECRET).await.unwrap();
    assert_eq!(tokens::get(auth, &admin, SECRET).await.unwrap_err().kind(), Kind::NotFound);
    cluster.clock.advance(std::time::Duration::from_secs(3));
    cluster.settle().await;
    for event in ["join_token.create", "tessera.join_token.update", "tessera.join_token.delete"] {
        let records = cluster.records(event).await;
        assert_eq!(records.len(), 1, "{event}");
        assert_eq!(records[0]["name"].as_str().unwrap().trim_start_matches('*'), "89abcdef");
    }
    let denied = cluster.records("tessera.access.denied").await;
    assert!(!denied.is_empty() && !format!("{denied:?}").contains(SECRET), "{denied:?}");
}

#[tokio::test]
async fn a_token_of_the_configuration_file_goes_with_its_line_only() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut of_file = token("of-the-file", "");
    of_file.metadata.labels.insert(STATIC_TOKEN.to_owned(), "true".to_owned());
    tokens::upsert(auth, &admin, of_file).await.unwrap();
    let refused = tokens::delete(auth, &admin, "of-the-file").await.unwrap_err();
    assert!(refused.kind() == Kind::Invalid && refused.message.contains("auth_service.tokens"), "{refused}");
    tokens::get(auth, &admin, "of-the-file").await.unwrap();
    tokens::delete_static(auth, &admin, "of-the-file").await.unwrap();
    assert_eq!(tokens::get(auth, &admin, "of-the-file").await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn the_status_is_the_servers_own() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut bound = token("bound", "ci");
    bound.spec.join_method = JoinMethod::BoundKeypair;
    let recovery = Some(BoundKeypairRecovery { limit: 1, mode: "standard".into() });
    bound.spec.bound_keypair = Some(BoundKeypair { recovery, ..BoundKeypair::default() });
    let forged = BoundKeypairStatus { bound_public_key: "mine".into(), recovery_count: 7, ..Default::default() };
    bound.status = TokenStatus { bound_keypair: Some(forged) };
    let stored = tokens::create(auth, &admin, bound.clone()).await.unwrap();
    let status = stored.status.bound_keypair.clone().unwrap();
    assert_eq!((status.bound_public_key.as_str(), status.recovery_count), ("", 0));
    assert_eq!(status.registration_secret.expose().len(), 64);
    let again = tokens::upsert(auth, &admin, bound).await.unwrap();
    assert_eq!(again.status, stored.status, "the registration secret must stay");
    let other =
        tokens::create(auth, &admin, Token { metadata: domain::Metadata::named("bound-2"), ..again }).await.unwrap();
    assert_ne!(other.status, stored.status);
}

#[tokio::test]
async fn tokens_are_listed_by_role_and_bot() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    for (name, bot) in [("a", "ci"), ("b", "cd"), ("c", "")] {
        tokens::create(auth, &admin, token(name, bot)).await.unwrap();
    }
    let names = async |roles: Vec<SystemRole>, bot_name: &str| {
        let filter = Filter { roles, bot_name: bot_name.to_owned(), ..Filter::default() };
        let page = tokens::list(auth, &admin, ListRequest::default(), &filter).await.unwrap();
        page.items.into_iter().map(|token| token.metadata.name).collect::<String>()
    };
    assert_eq!(names(vec![], "").await, "abc");
    assert_eq!(names(vec![SystemRole::Bot, SystemRole::App], "").await, "ab");
    assert_eq!(names(vec![SystemRole::Node], "").await, "c");
    assert_eq!(names(vec![], "cd").await, "b");
}

#[tokio::test]
async fn what_has_ended_already_is_refused_and_what_ends_is_gone() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let mut short = token("short", "ci");
    short.metadata.expires = Some(auth.clock().now());
    assert_eq!(tokens::create(auth, &admin, short.clone()).await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(tokens::upsert(auth, &admin, short.clone()).await.unwrap_err().kind(), Kind::Invalid);
    short.metadata.expires = Some(auth.clock().now() + std::time::Duration::from_secs(60));
    tokens::create(auth, &admin, short).await.unwrap();
    cluster.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(tokens::get(auth, &admin, "short").await.unwrap_err().kind(), Kind::NotFound);
    tokens::create(auth, &admin, token("short", "ci")).await.unwrap();
}
