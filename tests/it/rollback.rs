//! The store goes back to an older copy under bots that run, some of which joined after it was made: none is locked, all
//! are warned of, and what may have been spent stays spent.

use std::{fs, path::Path};

use api::{
    r#gen::{proto, tessera::v1::StatusRequest},
    methods::{proto::auth_service::GetLocks, tessera::v1::cluster_service::Status},
};
use domain::{error::Kind as ErrorKind, identity::Identity};
use serde_json::Value;
use testkit::Cluster;

use crate::support::people::{self, Person};

/// Copies the database's files; the server is stopped.
fn copy(from: &Path, to: &Path) {
    let database = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with("tessera.db");
    let files = |directory: &Path| -> Vec<_> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| database(path)).collect()
    };
    for old in files(to) {
        fs::remove_file(old).unwrap();
    }
    let found = files(from);
    assert!(!found.is_empty(), "no database in {}", from.display());
    for file in found {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

fn generation(bot: &Person) -> u64 {
    Identity::from_subject(bot.certificate.subject()).unwrap().generation
}

async fn events(cluster: &Cluster, name: &str) -> Vec<Value> {
    let page = cluster.server().auth().store().backend().journal_read(None, 1000).await.unwrap();
    let all = page.records.iter().map(|record| serde_json::from_slice::<Value>(&record.entry.value).unwrap());
    all.filter(|event| event["event"] == name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_store_locks_nobody_and_brings_no_token_back() {
    let backup = tempfile::tempdir().unwrap();
    let cluster = Cluster::start().await;
    let admin = cluster.admin().await;
    people::bot(&admin, "machine", &["access"]).await;
    for token in ["early", "late-1", "late-2", "unspent"] {
        people::bot_token(&admin, token, "machine").await;
    }
    let early = people::join(&cluster, "early").await.unwrap();
    let cluster = cluster.restart_with(|data| copy(&data.join("backend"), backup.path())).await;

    // After the copy: one bot renews, two more join, one of which renews, too; and some time passes for the checkpoints.
    let early = people::renew(&cluster, &people::renew(&cluster, &early).await.unwrap()).await.unwrap();
    let first = people::join(&cluster, "late-1").await.unwrap();
    let second = people::renew(&cluster, &people::join(&cluster, "late-2").await.unwrap()).await.unwrap();
    assert_eq!([generation(&early), generation(&first), generation(&second)], [3, 1, 2]);
    let before = cluster.admin().await.call::<Status>(StatusRequest {}).await.unwrap();
    assert!(before.rolled_back_at.is_none());

    let cluster = cluster.restart_with(|data| copy(backup.path(), &data.join("backend"))).await;
    let admin = cluster.admin().await;
    let status = admin.call::<Status>(StatusRequest {}).await.unwrap();
    assert!(status.rolled_back_at.is_some(), "the checkpoint beside the store was not looked at");
    assert!(status.reasons.iter().any(|reason| reason.text.contains("rolled back")), "{:?}", status.reasons);
    assert_eq!(events(&cluster, "tessera.restore.detected").await.len(), 1);

    // Spent ones are back in the store, and one was never used: the server cannot know which.
    for token in ["late-1", "late-2", "unspent"] {
        let error = people::join(&cluster, token).await.err().expect("a token of the time before was taken");
        assert!(error.kind == ErrorKind::Denied && error.message.contains("restore"), "{token}: {error:?}");
    }
    // The bots go on as if nothing had been, twice.
    for (bot, expected) in [(early, 4), (first, 2), (second, 3)] {
        let renewed = people::renew(&cluster, &bot).await.unwrap();
        assert_eq!(generation(&renewed), expected);
        assert_eq!(generation(&people::renew(&cluster, &renewed).await.unwrap()), expected + 1);
    }
    let locks = admin.call::<GetLocks>(proto::GetLocksRequest::default()).await.unwrap().locks;
    assert!(locks.is_empty(), "{locks:?}");
    let warned = events(&cluster, "tessera.bot.rollback_tolerated").await;
    assert_eq!(warned.len(), 3, "{warned:?}");

    // A new token is good, and what is new is watched over again: a copy of the bot's storage locks its instance.
    people::bot_token(&admin, "new", "machine").await;
    let stolen = people::join(&cluster, "new").await.unwrap();
    people::renew(&cluster, &people::renew(&cluster, &stolen).await.unwrap()).await.unwrap();
    assert_eq!(people::renew(&cluster, &stolen).await.err().map(|error| error.kind), Some(ErrorKind::Denied));
    assert_eq!(admin.call::<GetLocks>(proto::GetLocksRequest::default()).await.unwrap().locks.len(), 1);
    cluster.stop().await;
}
