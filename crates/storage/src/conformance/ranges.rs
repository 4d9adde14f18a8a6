//! Ranges: key order, pages, snapshots; and deletion of whole ranges.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Fixture, key};
use crate::{Batch, Key, MAX_PAGE_BYTES, Prefix};

pub(super) async fn run(fixture: &impl Fn(u64) -> Fixture) {
    pages_meet(&fixture(20)).await;
    prefixes_separate(&fixture(21)).await;
    pages_are_bounded_by_bytes(&fixture(22)).await;
    a_page_is_a_snapshot(&Arc::new(fixture(23))).await;
    whole_ranges_go(&fixture(24)).await;
}

async fn pages_meet(fixture: &Fixture) {
    let mut names: Vec<String> = (0..257).map(|n| format!("{n}")).collect();
    for chunk in names.chunks(60) {
        let batch = chunk.iter().fold(Batch::new(), |batch, name| batch.put(key(name), "", None));
        fixture.batch(batch).await.expect("stored");
    }
    names.sort();
    for page in [1, 7, 256, 257, 258, 1_000] {
        assert_eq!(fixture.names(&Prefix::all(), page).await, names, "pages of {page}");
    }
    // `after` need not exist, and an exact page says that nothing is left.
    let after = key("100!");
    let page = fixture.backend.range(&Prefix::all(), Some(&after), 1).await.expect("a page");
    assert_eq!(page.items.first().map(|item| item.key.clone()), Some(key("101")));
    let page = fixture.backend.range(&Prefix::all(), None, 257).await.expect("a page");
    assert!(!page.more && page.items.len() == 257);
    let last = page.items.last().map(|item| item.key.clone());
    let page = fixture.backend.range(&Prefix::all(), last.as_ref(), 10).await.expect("a page");
    assert!(!page.more && page.items.is_empty());
}

async fn prefixes_separate(fixture: &Fixture) {
    let keys = [
        Key::new("a", "x"),
        Key::new("a", "y"),
        Key::with_sub("a", "s", "x"),
        Key::with_sub("a", "s", "xx"),
        Key::with_sub("a", "s\0", "x"),
        Key::with_sub("a", "t", "x"),
        Key::new("a\0", "x"),
        Key::new("ab", "x"),
        Key::new("b", "x"),
    ];
    let batch = keys.iter().fold(Batch::new(), |batch, key| batch.put(key.clone(), "", None));
    fixture.batch(batch).await.expect("stored");
    for prefix in [
        Prefix::all(),
        Prefix::kind("a"),
        Prefix::sub("a", ""),
        Prefix::sub("a", "s"),
        Prefix::names("a", "s", "xx"),
        Prefix::names("a", "", "y"),
        Prefix::kind("c"),
    ] {
        let page = fixture.backend.range(&prefix, None, 100).await.expect("a page");
        let found: Vec<Key> = page.items.into_iter().map(|item| item.key).collect();
        let mut expected: Vec<Key> = keys.iter().filter(|key| prefix.contains(key)).cloned().collect();
        expected.sort();
        assert_eq!(found, expected, "{prefix:?}");
    }
}

async fn pages_are_bounded_by_bytes(fixture: &Fixture) {
    const VALUE: usize = 400 * 1024;
    let count = 2 * MAX_PAGE_BYTES / VALUE;
    for n in 0..count {
        fixture.batch(Batch::new().put(key(&format!("{n:03}")), vec![1; VALUE], None)).await.expect("stored");
    }
    let page = fixture.backend.range(&Prefix::all(), None, 1_000).await.expect("a page");
    assert!(page.more && page.items.len() < count && !page.items.is_empty(), "{} items", page.items.len());
    assert_eq!(fixture.names(&Prefix::all(), 1_000).await.len(), count);
}

/// Pairs of items are always written together, so whoever reads sees both with the same value.
async fn a_page_is_a_snapshot(fixture: &Arc<Fixture>) {
    fixture.batch(Batch::new().put(key("l"), "0", None).put(key("r"), "0", None)).await.expect("stored");
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let (writer, reader) = (fixture.clone(), fixture.clone());
        tasks.spawn(async move {
            for n in 0..50 {
                let value = format!("{n}");
                let batch = Batch::new().put(key("l"), value.clone(), None).put(key("r"), value, None);
                writer.batch(batch).await.expect("stored");
            }
        });
        tasks.spawn(async move {
            for _ in 0..50 {
                let page = reader.backend.range(&Prefix::all(), None, 10).await.expect("a page");
                let [l, r] = page.items.as_slice() else { panic!("two items, found {:?}", page.items) };
                assert_eq!((&l.value, l.revision), (&r.value, r.revision), "a batch is seen whole");
                assert!(page.cursor >= l.cursor, "a page is not older than what is on it");
            }
        });
    }
    tasks.join_all().await;
}

async fn whole_ranges_go(fixture: &Fixture) {
    for chunk in 0..12 {
        let batch = (0..60).fold(Batch::new(), |batch, n| batch.put(key(&format!("{chunk}-{n}")), "", None));
        fixture.batch(batch).await.expect("stored");
    }
    let gone = fixture.after(Duration::from_secs(1));
    let batch = Batch::new().put(key("expired"), "", gone).put(Key::new("other", "x"), "", None);
    fixture.batch(batch).await.expect("stored");
    fixture.manual.advance(Duration::from_secs(2));
    let deleted = fixture.backend.delete_range(&Prefix::kind("thing")).await.expect("deleted");
    assert_eq!(deleted, 12 * 60 + 1, "expired items are deleted too");
    assert_eq!(fixture.names(&Prefix::all(), 10).await, ["x"]);
    assert!(fixture.backend.expired(10).await.expect("a look").is_empty());
    assert_eq!(fixture.backend.delete_range(&Prefix::kind("thing")).await, Ok(0));
}
