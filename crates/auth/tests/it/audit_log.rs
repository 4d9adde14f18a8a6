//! The audit log as it is searched, exported, reported to and proved.

use audit::{
    Order, Query,
    chain::{BLOCKS, Block},
};
use auth::{
    audit_log::{
        chain::export_chain,
        emit::emit,
        export::{CHUNK, begin, chunks},
        search::search,
        verify::verify,
    },
    roles,
};
use clock::Timestamp;
use domain::{error::Kind as ErrorKind, resources::role::Rule};
use serde_json::json;
use storage::{Backend, Prefix};

use crate::{harness::Cluster, people::role};

fn all(order: Order, limit: usize, cursor: Option<String>) -> Query {
    Query { from: Timestamp::MIN, to: Timestamp::MAX, types: Vec::new(), text: None, order, limit, cursor }
}

#[tokio::test]
async fn events_are_found_by_who_may_look() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let nobody = cluster.person("nobody", vec![]).await;
    assert_eq!(search(auth, &nobody, all(Order::OldestFirst, 0, None)).await.unwrap_err().kind(), ErrorKind::Denied);
    let auditor = cluster.person("auditor", vec![Rule::new(["event"], ["list", "read"])]).await;
    let forward = search(auth, &auditor, all(Order::OldestFirst, 0, None)).await.unwrap();
    let mut backward = search(auth, &admin, all(Order::NewestFirst, 0, None)).await.unwrap();
    assert!(forward.entries.len() > 4);
    backward.entries.reverse();
    assert_eq!(forward.entries, backward.entries);
    let mut wrong = all(Order::OldestFirst, 0, None);
    (wrong.from, wrong.to) = (wrong.to, wrong.from);
    assert_eq!(search(auth, &admin, wrong).await.unwrap_err().kind(), ErrorKind::Invalid);
    let foreign = all(Order::OldestFirst, 0, Some("moon".into()));
    assert_eq!(search(auth, &admin, foreign).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn an_export_goes_on_after_any_event() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    cluster.person("alice", vec![]).await;
    let now = auth.clock().now();
    assert_eq!(chunks(auth, &admin, now).await.unwrap(), [CHUNK]);
    assert!(chunks(auth, &admin, Timestamp::from_second(0).unwrap()).await.unwrap().is_empty());
    let whole = begin(auth, &admin, now, CHUNK, "").unwrap().next(auth, &admin).await.unwrap();
    assert_eq!(whole.len(), cluster.all_events().await.len());
    for (at, (_, cursor)) in whole.iter().enumerate() {
        let rest = begin(auth, &admin, now, CHUNK, cursor).unwrap().next(auth, &admin).await.unwrap();
        let ids = |events: &[(audit::Entry, String)]| events.iter().map(|(entry, _)| entry.id).collect::<Vec<_>>();
        assert_eq!(ids(&rest), ids(&whole[at + 1..]));
    }
    assert_eq!(begin(auth, &admin, now, "moon", "").unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_agent_reports_but_forges_nothing() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let event =
        |name: &str| json!({"event": name, "code": "X", "time": "1999-01-01T00:00:00Z"}).as_object().unwrap().clone();
    emit(auth, &admin, event("session.data")).await.unwrap();
    let record = &cluster.records("session.data").await[0];
    assert_eq!(record["cluster_name"], auth.cluster());
    assert!(record["time"].as_str().unwrap() > "2026", "the time is ours");
    assert_eq!(emit(auth, &admin, event("role.created")).await.unwrap_err().kind(), ErrorKind::Denied);
    let person = cluster.person("alice", vec![Rule::new(["event"], ["create"])]).await;
    assert_eq!(emit(auth, &person, event("session.data")).await.unwrap_err().kind(), ErrorKind::Denied);
    let mut large = event("session.data");
    large.insert("path".into(), "x".repeat(100_000).into());
    assert_eq!(emit(auth, &admin, large).await.unwrap_err().kind(), ErrorKind::Limit);
}

#[tokio::test]
async fn the_chain_can_be_proved_and_taken_away() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let found = verify(auth, &admin, b"").await.unwrap();
    assert!(found.is_intact && found.records == 0, "nothing is linked without a chainer: {found:?}");
    assert!(found.remarks[0].contains("not linked yet"), "{found:?}");
    assert_eq!(verify(auth, &admin, b"moon").await.unwrap_err().kind(), ErrorKind::Invalid);
    let mut export = export_chain(auth, &admin, 0, false).await.unwrap();
    let links = export.next(auth, &admin).await.unwrap();
    assert_eq!(links.len(), cluster.all_events().await.len());
    assert!(export.next(auth, &admin).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_export_goes_on_when_its_reader_may_read_no_more() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let rules = vec![Rule::new(["event"], ["list", "read"])];
    let auditor = cluster.person("auditor", rules).await;
    let mut events = begin(auth, &auditor, auth.clock().now(), CHUNK, "").unwrap();
    let mut chain = export_chain(auth, &auditor, 0, false).await.unwrap();
    roles::upsert(auth, &admin, role("of-auditor", vec![])).await.unwrap();
    cluster.settle().await;
    let now = cluster.again("auditor").await;
    assert_eq!(events.next(auth, &now).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(chain.next(auth, &now).await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn links_are_lost_between_the_pages_of_an_export() {
    let cluster = Cluster::start().await;
    let (auth, admin) = (&cluster.auth, cluster.admin());
    let event = json!({"event": "session.data", "code": "X"}).as_object().unwrap().clone();
    // Three processes, one after the other, whose parts end within pages and reach over them.
    for records in [700, 900, 1100] {
        let mut chainer = cluster.chainer().await;
        for number in 0..records {
            emit(auth, &admin, event.clone()).await.unwrap();
            if number % 333 == 0 {
                chainer.link(false).await.unwrap();
            }
        }
        chainer.link(false).await.unwrap();
    }
    emit(auth, &admin, event).await.unwrap();
    let mut blocks = Vec::new();
    for item in cluster.backend.range(&Prefix::kind(BLOCKS), None, 1000).await.unwrap().items {
        blocks.push(serde_json::from_slice::<Block>(&item.value).unwrap());
    }
    blocks.sort_by_key(|block| block.position);
    let mut expected = Vec::new();
    for block in blocks {
        let before = std::iter::once(block.previous).chain(block.links.iter().map(|link| link.hash));
        expected.extend(before.zip(block.links.iter().map(|link| link.hash)));
    }
    expected.push(Default::default());
    for skipped in [0, 1, 1234] {
        let first = cluster.backend.journal_read(None, 1).await.unwrap().records[0].position.0;
        let after = if skipped == 0 { 0 } else { first + skipped - 1 };
        let mut export = export_chain(auth, &admin, after, false).await.unwrap();
        let mut found = Vec::new();
        loop {
            let page = export.next(auth, &admin).await.unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page.into_iter().map(|link| (link.previous, link.hash)));
        }
        let skipped = usize::try_from(skipped).unwrap();
        assert_eq!(found.len(), expected.len() - skipped);
        assert!(found == expected[skipped..], "after {skipped} records");
    }
}
