//! The promises of the port, and what is special about a file.

use std::sync::Arc;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_keeps_the_promises_of_the_port() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let count = std::sync::atomic::AtomicUsize::new(0);
    storage::conformance::run(|clock, random| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = directory.path().join(format!("{number}.sqlite"));
        let options = Options { synchronous: Synchronous::Off, ..Options::default() };
        Arc::new(Sqlite::open(&path, clock, &random, options).expect("a new store"))
    })
    .await;
}

fn open(path: &Path) -> Sqlite {
    let options = Options { synchronous: Synchronous::Off, ..Options::default() };
    Sqlite::open(path, Clock::system(), &Random::system(), options).expect("a store")
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("state.sqlite");
    let key = Key::new("thing", "a");
    let store = open(&path);
    let first = store.batch(Batch::new().put(key.clone(), "1", None)).await.expect("stored");
    assert!(matches!(
        Sqlite::open(&path, Clock::system(), &Random::system(), Options::default()),
        Err(OpenError::InUse { .. })
    ));
    drop(store);

    let store = open(&path);
    let item = store.get(&key).await.expect("read").expect("there");
    assert_eq!(item.revision, first.revision, "revisions live as long as the item");
    assert_eq!(item.cursor.partial_cmp(&first.cursor), None, "cursors end with the process");
    let mut watcher = store.watch(&Prefix::all(), Some(first.cursor)).await.expect("a watcher");
    assert_eq!(watcher.next().await, storage::WatchEvent::Resync);
    let second = store.batch(Batch::new().put(key.clone(), "1", None)).await.expect("stored");
    assert!(second.cursor > item.cursor, "positions go on");
}

#[test]
fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("state.sqlite");
    std::fs::write(&path, "").expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let store = open(&path);
    let mut files = 0;
    for entry in std::fs::read_dir(directory.path()).expect("a directory") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
        files += 1;
    }
    assert_eq!(files, 4, "the database, its log, its index, the lock");
    drop(store);
}

/// Made by the first release; every later version must read it.
#[tokio::test]
async fn the_fixture_of_format_1_can_be_read() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("state.sqlite");
    std::fs::write(&path, include_bytes!("../tests/fixtures/format-1.sqlite")).expect("a copy");
    let store = open(&path);
    let page = store.range(&Prefix::all(), None, 10).await.expect("a page");
    let names: Vec<String> = page.items.iter().map(|item| item.key.to_string()).collect();
    assert_eq!(names, ["bot_instance/ci/0196b0f0-0000-7000-8000-000000000001", "role/ci"]);
    let [instance, role] = page.items.as_slice() else { panic!("two items") };
    assert_eq!(instance.expires, Some("2100-01-01T00:00:00.000001Z".parse().expect("a time")));
    assert_eq!(role.value, fixture_value());
    assert_eq!(store.expired(10).await.expect("a look").len(), 1, "one item has expired");
    let journal = store.journal_read(None, 10).await.expect("the journal").records;
    let values: Vec<_> = journal.iter().map(|record| (record.position.0, record.entry.value.clone())).collect();
    assert_eq!(values, [(2, "second".into()), (3, "third".into())], "the first was trimmed");
    store
        .batch(
            Batch::new()
                .require(storage::Condition::Revision(role.key.clone(), role.revision))
                .delete(role.key.clone()),
        )
        .await
        .expect("it can be written");
}

fn fixture_value() -> bytes::Bytes {
    let text = r#"{"schema":1,"kind":"role","version":"v8","metadata":{"name":"ci"},"spec":{}}"#;
    bytes::Bytes::from_static(text.as_bytes())
}

/// Writes the fixture anew: only ever for a new format, under a new name.
#[tokio::test]
#[ignore = "writes a fixture into the source tree"]
async fn write_the_fixture() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1.sqlite"));
    let store = Sqlite::open(path, Clock::system(), &Random::seeded(1), Options::default()).expect("a store");
    let time = |text: &str| text.parse().expect("a time");
    let entry = |n: u128, value: &'static str| storage::JournalEntry {
        id: uuid::Uuid::from_u128(n),
        time: time("2026-01-01T00:00:00Z"),
        value: value.into(),
    };
    let instance = Key::with_sub("bot_instance", "ci", "0196b0f0-0000-7000-8000-000000000001");
    let batch = Batch::new()
        .put(Key::new("role", "ci"), fixture_value(), None)
        .put(instance, "{}", Some(time("2100-01-01T00:00:00.000001Z")))
        .put(Key::new("lock", "old"), "{}", Some(time("2020-01-01T00:00:00Z")))
        .journal(entry(1, "first"))
        .journal(entry(2, "second"))
        .journal(entry(3, "third"));
    store.batch(batch).await.expect("stored");
    store.journal_trim(JournalPosition(1)).await.expect("trimmed");
}
