//! Users, bots and authorities as a cluster makes them, and as it would never make them.

use std::{path::Path, time::Duration};

use api::{
    r#gen::{
        proto,
        tessera::v1::{RenewRequest, RenewalQuestion, renew_response::Payload},
        types,
    },
    methods::proto::{
        auth_service::{CreateTokenV2, GenerateUserCerts, UpsertLock, UpsertRoleV2},
        join_service::RegisterUsingToken,
    },
    methods::teleport::{machineid::v1::bot_service::CreateBot, users::v1::users_service::UpsertUser},
    methods::tessera::v1::renewal_service::Renew,
};
use client::{Client, Credentials};
use clock::{Clock, Timestamp};
use crypto::{Algorithm, KeyPair, Random, SecretString, tls::CertificateChain, x509::Certificate};
use domain::{Resource, ca::CaType, resources::CertAuthority, suite::Suite};
use futures_util::stream;
use keystore::{SealingKey, SoftwareKeyStore};
use prost::Message;
use serde_json::{Value, json};
use testkit::Cluster;
use tokio::sync::mpsc;

/// A document from its JSON.
pub(crate) fn document<T: Resource>(value: Value) -> T {
    let mut document: T = serde_json::from_value(value).unwrap();
    document.set_defaults();
    document
}

/// Somebody with a certificate.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) key: KeyPair,
    pub(crate) certificate: Certificate,
    pub(crate) authorities: Vec<Certificate>,
}

impl Person {
    pub(crate) fn chain(&self) -> CertificateChain {
        CertificateChain::new(std::slice::from_ref(&self.certificate), &self.key).unwrap()
    }

    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::in_memory(vec![self.certificate.clone()], &self.key, self.authorities.clone()).unwrap()
    }

    pub(crate) fn from_certs(key: KeyPair, certs: &proto::Certs) -> Self {
        let read = |pem: &[u8]| Certificate::from_pem(std::str::from_utf8(pem).unwrap()).unwrap();
        let authorities = certs.tlsca_certs.iter().map(|pem| read(pem)).collect();
        Self { key, certificate: read(&certs.tls), authorities }
    }
}

/// A key of the kind that bots have.
pub(crate) fn key() -> KeyPair {
    KeyPair::generate(Algorithm::EcdsaP256).unwrap()
}

pub(crate) fn in_seconds(seconds: u64) -> prost_types::Timestamp {
    let end = Clock::system().now() + Duration::from_secs(seconds);
    prost_types::Timestamp { seconds: end.as_second(), nanos: end.subsec_nanosecond() }
}

pub(crate) async fn role(admin: &Client, name: &str, spec: Value) {
    let role = document(json!({"kind": "role", "version": "v7", "metadata": {"name": name}, "spec": spec}));
    let request = proto::UpsertRoleRequest { role: Some(api::convert::role::to_wire(&role)) };
    admin.call::<UpsertRoleV2>(request).await.unwrap();
}

/// A user with these roles, and a certificate that lives so long.
pub(crate) async fn user(admin: &Client, name: &str, roles: &[&str], seconds: u64) -> Person {
    let user = document(json!({"kind": "user", "version": "v2", "metadata": {"name": name}, "spec": {"roles": roles}}));
    let request = api::r#gen::teleport::users::v1::UpsertUserRequest { user: Some(api::convert::user::to_wire(&user)) };
    admin.call::<UpsertUser>(request).await.unwrap();
    certificate(admin, name, seconds).await
}

/// A certificate for a user that is there, signed by the administrator.
pub(crate) async fn certificate(admin: &Client, name: &str, seconds: u64) -> Person {
    let key = key();
    let request = proto::UserCertsRequest {
        username: name.to_owned(),
        tls_public_key: key.public().to_pem().into_bytes(),
        ssh_public_key: key.public().to_authorized_key().into_bytes(),
        expires: Some(in_seconds(seconds)),
        ..Default::default()
    };
    Person::from_certs(key, &admin.call::<GenerateUserCerts>(request).await.unwrap())
}

pub(crate) async fn bot(admin: &Client, name: &str, roles: &[&str]) {
    let bot = document(json!({"kind": "bot", "version": "v1", "metadata": {"name": name}, "spec": {"roles": roles}}));
    let request = api::r#gen::teleport::machineid::v1::CreateBotRequest { bot: Some(api::convert::bot::to_wire(&bot)) };
    admin.call::<CreateBot>(request).await.unwrap();
}

/// A token with which one machine joins as `bot`.
pub(crate) async fn bot_token(admin: &Client, name: &str, bot: &str) {
    let token = document(json!({
        "kind": "token", "version": "v2", "metadata": {"name": name},
        "spec": {"roles": ["Bot"], "join_method": "token", "bot_name": bot}
    }));
    let token = proto::create_token_v2_request::Token::V2(api::convert::token::to_wire(&token));
    admin.call::<CreateTokenV2>(proto::CreateTokenV2Request { token: Some(token) }).await.unwrap();
}

/// The request with which a machine joins.
pub(crate) fn join_request(token: &str, key: &KeyPair) -> types::RegisterUsingTokenRequest {
    types::RegisterUsingTokenRequest {
        role: "Bot".into(),
        token: token.into(),
        public_tls_key: key.public().to_pem().into_bytes(),
        public_ssh_key: key.public().to_authorized_key().into_bytes(),
        ..Default::default()
    }
}

/// Joins with a token, for an hour.
pub(crate) async fn join(cluster: &Cluster, token: &str) -> Result<Person, domain::Error> {
    join_for(cluster, token, 3600).await
}

/// Joins with a token.
pub(crate) async fn join_for(cluster: &Cluster, token: &str, seconds: u64) -> Result<Person, domain::Error> {
    let config =
        client::Config::new([cluster.address().to_string()], Credentials::none(), Clock::system(), Random::system());
    let authorities = cluster.server().auth().host_certificates().unwrap();
    let client = Client::connect(config.with_trust(client::Trust::Authorities(authorities))).await?;
    let key = key();
    let certs = client
        .call::<RegisterUsingToken>(types::RegisterUsingTokenRequest {
            expires: Some(in_seconds(seconds)),
            ..join_request(token, &key)
        })
        .await?;
    Ok(Person::from_certs(key, &certs))
}

/// The conversation of a bot whose certificate has ended, or is about to.
pub(crate) async fn renew_in_grace(
    client: &Client,
    bot: &Person,
    key: &KeyPair,
    expires: prost_types::Timestamp,
) -> Result<Person, domain::Error> {
    let (send, receive) = mpsc::channel::<RenewRequest>(1);
    let requests = stream::unfold(receive, |mut receive| async { receive.recv().await.map(|next| (next, receive)) });
    let mut answers = client.bidirectional::<Renew>(requests).await?;
    let Some(Payload::Nonce(nonce)) = answers.next().await?.and_then(|answer| answer.payload) else {
        panic!("the server speaks first")
    };
    let question = RenewalQuestion {
        tls_public_key: key.public().to_pem().into_bytes(),
        ssh_public_key: key.public().to_authorized_key().into_bytes(),
        expires: Some(expires),
    };
    let question = question.encode_to_vec();
    let message = auth::instances::grace::signed_bytes(&nonce.cluster_name, &nonce.nonce, &question);
    let signature = bot.key.sign(&message).unwrap();
    let request = RenewRequest { certificate: bot.certificate.der().to_vec(), question, signature };
    send.send(request).await.map_err(|_| domain::Error::unavailable("the server ended the conversation"))?;
    match answers.next().await?.and_then(|answer| answer.payload) {
        Some(Payload::Certs(certs)) => Ok(Person::from_certs(key.clone(), &certs)),
        other => panic!("no certificates: {other:?}"),
    }
}

/// Renews a bot's own identity with a fresh key.
pub(crate) async fn renew(cluster: &Cluster, bot: &Person) -> Result<Person, domain::Error> {
    renew_with(cluster, bot, &key()).await
}

/// Renews a bot's own identity with this key.
pub(crate) async fn renew_with(cluster: &Cluster, bot: &Person, key: &KeyPair) -> Result<Person, domain::Error> {
    let request = proto::UserCertsRequest {
        tls_public_key: key.public().to_pem().into_bytes(),
        ssh_public_key: key.public().to_authorized_key().into_bytes(),
        expires: Some(in_seconds(3600)),
        ..Default::default()
    };
    let certs = cluster.client(bot.credentials()).await.call::<GenerateUserCerts>(request).await?;
    Ok(Person::from_certs(key.clone(), &certs))
}

/// Locks whatever `target` names.
pub(crate) async fn lock(admin: &Client, name: &str, target: Value) {
    let lock =
        document(json!({"kind": "lock", "version": "v2", "metadata": {"name": name}, "spec": {"target": target}}));
    admin.call::<UpsertLock>(api::convert::lock::to_wire(&lock)).await.unwrap();
}

/// The key store of a cluster, opened a second time.
fn key_store(data_dir: &Path) -> SoftwareKeyStore {
    let text = std::fs::read_to_string(data_dir.join("sealing.key")).unwrap();
    SoftwareKeyStore::new(vec![SealingKey::parse(&SecretString::from(text.trim())).unwrap()], Random::system()).unwrap()
}

/// Gives the cluster a new user authority, behind the server's back; the old one is no longer trusted.
pub(crate) async fn replace_user_authority(cluster: &Cluster) {
    let store = cluster.server().auth().store();
    let mut authority = store.get_in::<CertAuthority>("user", "test.example").await.unwrap().unwrap();
    let (keys, clock, random) = (key_store(&cluster.data_dir()), Clock::system(), Random::system());
    let made =
        ca::authority::new_keys(CaType::User, "test.example", Suite::BalancedV1, &keys, clock.now(), &random).await;
    authority.spec.active_keys = made.unwrap();
    store.change().update(&authority).unwrap().commit().await.unwrap();
}

/// What an authority of ours would have signed for `person`'s certificate, signed by somebody else's authority of the
/// same name.
pub(crate) async fn forged(person: &Person, cluster: &str, not_after: Timestamp) -> Person {
    let (random, clock) = (Random::system(), Clock::system());
    let store = SoftwareKeyStore::new(vec![SealingKey::generate(&random).0], random.clone()).unwrap();
    let authority = ca::authority::new_authority(CaType::User, cluster, Suite::BalancedV1, &store, &clock, &random);
    let signer = ca::authority::tls_signer(&authority.await.unwrap()).unwrap();
    let identity = domain::identity::Identity::from_subject(person.certificate.subject()).unwrap();
    let now = Clock::system().now();
    let template = ca::x509::user_template(&identity, person.key.public().clone(), now, not_after);
    let certificate = ca::x509::issue(&template, &signer, &store, &random).await.unwrap();
    Person { certificate, ..person.clone() }
}
