//! Every operation that says it leaves an audit event leaves one, in the same breath as its answer.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    r#gen::proto::CreateAppSessionRequest,
    methods::{
        Method,
        proto::{auth_service::CreateAppSession, join_service::RegisterUsingToken},
    },
};
use auth::{Operation, Trace};
use auth_grpc::table;
use client::Client;
use prost::Message;
use serde_json::Value;
use storage::JournalPosition;
use testkit::Cluster;

use crate::support::{people, raw::Raw, requests};

/// Operations that no row stands for; none that leaves an event may be among them.
const WITHOUT_A_ROW: &[Operation] = &[Operation::Sweep];

#[test]
fn every_operation_has_a_row() {
    let served: BTreeSet<Operation> = table::rows().iter().map(|row| row.operation).collect();
    let missing: Vec<&Operation> = Operation::ALL.iter().filter(|operation| !served.contains(operation)).collect();
    assert_eq!(missing, WITHOUT_A_ROW.iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_that_changes_something_leaves_its_event() {
    let cluster = Cluster::start().await;
    let stage = requests::furnish(&cluster).await;
    let mut journal = Journal::at_the_end(&cluster).await;
    let operations: BTreeMap<&str, Operation> = table::rows().iter().map(|row| (row.path, row.operation)).collect();
    let mut proven = BTreeSet::new();
    let mut wrong = Vec::new();

    let admin = Raw::administrator(&cluster.server().admin_socket()).await;
    for call in requests::all(&stage) {
        let answer = admin.call(call.path, &call.message).await;
        let operation = operations[call.path];
        let events = journal.news().await;
        if call.event.is_empty() {
            // Neither reads nor presence write what they do not name.
            if !events.is_empty() {
                wrong.push(format!("{}: unexpected events {events:?}", call.path));
            }
        } else if !answer.is_success() || !events.iter().any(|event| event == call.event) {
            wrong.push(format!("{}: {answer:?} left {events:?} instead of {}", call.path, call.event));
        } else {
            proven.insert(operation);
        }
    }

    let client = cluster.admin().await;
    people::bot(&client, "joiner", &["access"]).await;
    people::bot_token(&client, "joiner", "joiner").await;
    journal.news().await;
    let stranger = Raw::stranger(cluster.address()).await;
    let key = people::key();
    let answer = stranger.call(RegisterUsingToken::PATH, &people::join_request("joiner", &key).encode_to_vec()).await;
    let events = journal.news().await;
    assert!(answer.is_success() && ["bot.join", "cert.create"].iter().all(|event| events.iter().any(|e| e == event)));
    proven.insert(Operation::Join);

    people::bot_token(&client, "joiner-2", "joiner").await;
    let bot = people::join_for(&cluster, "joiner-2", 1).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    journal.news().await;
    let expires = people::in_seconds(600);
    people::renew_in_grace(&client_of(&cluster).await, &bot, &people::key(), expires).await.unwrap();
    let events = journal.news().await;
    assert!(events.iter().any(|event| event == "tessera.bot.grace_renewal"), "{events:?}");
    proven.insert(Operation::RenewInGrace);

    let visitor = people::certificate(&client, "visitor", 600).await;
    journal.news().await;
    let visitor = Raw::with(cluster.address(), visitor.chain()).await;
    let session = CreateAppSessionRequest { app_name: "anew".into(), ..Default::default() };
    requests::serve(&client, "anew").await;
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    journal.news().await;
    let answer = visitor.call(CreateAppSession::PATH, &session.encode_to_vec()).await;
    let events = journal.news().await;
    assert!(answer.is_success() && events.iter().any(|event| event == "app.session.start"), "{answer:?} {events:?}");
    proven.insert(Operation::CreateAppSession);

    let named: BTreeSet<Operation> =
        Operation::ALL.iter().copied().filter(|operation| operation.trace() == Trace::Event).collect();
    let unproven: Vec<_> = named.difference(&proven).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unproven.is_empty(), "nobody has seen the events of {unproven:?}");
    cluster.stop().await;
}

async fn client_of(cluster: &Cluster) -> Client {
    let authorities = cluster.server().auth().host_certificates().unwrap();
    let credentials = client::Credentials::none().with_authorities(authorities);
    cluster.client(credentials).await
}

/// The journal from a point on.
struct Journal<'a> {
    cluster: &'a Cluster,
    position: Option<JournalPosition>,
}

impl<'a> Journal<'a> {
    async fn at_the_end(cluster: &'a Cluster) -> Self {
        let mut journal = Self { cluster, position: None };
        while !journal.news().await.is_empty() {}
        journal
    }

    /// The types of the events since the last look.
    async fn news(&mut self) -> Vec<String> {
        let backend = self.cluster.server().auth().store().backend();
        let page = backend.journal_read(self.position, 1000).await.unwrap();
        self.position = page.records.last().map(|record| record.position).or(self.position);
        let name = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["event"].as_str().unwrap().to_owned();
        let names = page.records.iter().map(|record| name(&record.entry.value));
        // The chain writes on its own time.
        names.filter(|name| name != "tessera.audit.checkpoint").collect()
    }
}
