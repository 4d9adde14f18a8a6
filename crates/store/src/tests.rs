//! The store over the back end in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clock::ManualClock;
use crypto::Random;
use domain::error::Kind as ErrorKind;
use domain::resources::{BotInstance, Lock, Role, Token, User};
use domain::{AnyResource, Kind, Resource};
use storage::fault::{Fault, Faulty};
use storage::memory::Memory;
use storage::{Batch, Condition};
use tokio::task::JoinSet;

use super::*;
use crate::cache::{CACHED, Changed};

struct Fixture {
    store: Store,
    manual: ManualClock,
}

fn fixture() -> Fixture {
    fixture_over(|memory| memory)
}

fn fixture_over(wrap: impl FnOnce(Arc<dyn Backend>) -> Arc<dyn Backend>) -> Fixture {
    let manual = ManualClock::new("2026-01-01T00:00:00Z".parse().expect("a time"));
    let random = Random::seeded(1);
    let backend = wrap(Arc::new(Memory::new(manual.clock(), &random)));
    let recorder = Recorder::new("example", manual.clock(), random);
    Fixture { store: Store::new(backend, recorder), manual }
}

fn role(name: &str) -> Role {
    Role::new(name, domain::resources::role::RoleSpec::default())
}

fn user(name: &str) -> User {
    User::new(name, domain::resources::user::UserSpec::default())
}

fn instance(bot: &str, id: &str) -> BotInstance {
    let mut instance = BotInstance::default();
    instance.metadata.name = id.to_owned();
    instance.spec.bot_name = bot.to_owned();
    instance.spec.instance_id = id.to_owned();
    instance
}

async fn create<T: Keyed>(store: &Store, resource: &T) -> T {
    let receipt = store.change().create(resource).expect("a document").commit().await.expect("created");
    receipt.stamp(resource.clone())
}

#[tokio::test]
async fn a_resource_is_created_read_changed_and_removed() {
    let Fixture { store, .. } = fixture();
    let first = create(&store, &role("ci")).await;
    assert_eq!(store.get::<Role>("ci").await.expect("read"), Some(first.clone()), "the receipt has the revision");

    let again = store.change().create(&role("ci")).expect("a document").commit().await.expect_err("it is there");
    assert_eq!((again.kind, again.message.as_str()), (ErrorKind::AlreadyExists, r#"role "ci" already exists"#));

    let mut changed = first.clone();
    changed.metadata.description = "changed".to_owned();
    let receipt = store.change().update(&changed).expect("a revision").commit().await.expect("updated");
    let changed = receipt.stamp(changed);
    assert_eq!(store.fetch::<Role>("ci").await.expect("read"), changed);

    let stale = store.change().update(&first).expect("a revision").commit().await.expect_err("stale");
    assert_eq!(stale.kind, ErrorKind::Conflict, "{stale}");
    let never_read = store.change().update(&role("ci")).err().expect("no revision");
    assert_eq!(never_read.kind, ErrorKind::Conflict);
    let stale = store.change().delete_exactly(&first).expect("a revision").commit().await.expect_err("stale");
    assert_eq!(stale.kind, ErrorKind::Conflict);

    store.change().overwrite(&role("ci")).expect("a document").commit().await.expect("any revision will do");
    store.change().delete::<Role>("ci").commit().await.expect("deleted");
    let missing = store.change().delete::<Role>("ci").commit().await.expect_err("gone");
    assert_eq!((missing.kind, missing.message.as_str()), (ErrorKind::NotFound, r#"role "ci" does not exist"#));
    let missing = store.change().overwrite(&role("ci")).expect("a document").commit().await.expect_err("gone");
    assert_eq!(missing.kind, ErrorKind::NotFound);
    let missing = store.change().update(&changed).expect("a revision").commit().await.expect_err("gone");
    assert_eq!(missing.kind, ErrorKind::NotFound);
    assert_eq!(store.fetch::<Role>("ci").await.expect_err("gone").kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_change_is_one_batch_with_its_conditions_and_records() {
    let Fixture { store, .. } = fixture();
    let record = Key::new("pending", "x");
    let change = || store.change().create(&user("ann")).expect("a document").put_record(record.clone(), "1", None);
    let refused = change().require_exists::<Role>("ci").commit().await.expect_err("no such role");
    assert_eq!(refused.message, r#"role "ci" does not exist"#);
    assert_eq!(store.record(&record).await.expect("read"), None);
    let own = Error::limit("too many");
    let refused = change().require(Condition::Exists(record.clone()), own.clone()).commit().await;
    assert_eq!(refused, Err(own));

    create(&store, &role("ci")).await;
    change().require_exists::<Role>("ci").commit().await.expect("now it is there");
    assert!(store.get::<User>("ann").await.expect("read").is_some());
    assert!(store.record(&record).await.expect("read").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn upserts_race_and_all_succeed() {
    let Fixture { store, .. } = fixture();
    let mut writers = JoinSet::new();
    for n in 0..4 {
        let store = store.clone();
        writers.spawn(async move {
            let mut role = role("ci");
            role.metadata.description = format!("{n}");
            store.change().upsert(&role).expect("a document").commit().await
        });
    }
    for result in writers.join_all().await {
        result.expect("an upsert does not conflict");
    }
}

#[tokio::test]
async fn what_a_newer_version_wrote_survives_a_change() {
    let Fixture { store, .. } = fixture();
    let mut document: serde_json::Value =
        serde_json::from_slice(&domain::Stored::new(role("ci")).encode().expect("a document")).expect("JSON");
    document["spec"]["from_the_future"] = serde_json::json!({"a": 1});
    let put = Batch::new().put(role("ci").key(), document.to_string(), None);
    store.backend().batch(put).await.expect("stored");

    let mut read = store.fetch::<Role>("ci").await.expect("read");
    read.metadata.description = "changed".to_owned();
    store.change().update(&read).expect("a revision").commit().await.expect("updated");
    store.change().upsert(&read).expect("a document").commit().await.expect("upserted");
    let stored = store.repository::<Role>().stored_in("", "ci").await.expect("read").expect("there");
    store.change().replace(stored).expect("a revision").commit().await.expect("replaced");
    let item = store.record(&role("ci").key()).await.expect("read").expect("there");
    let kept: serde_json::Value = serde_json::from_slice(&item.value).expect("JSON");
    assert_eq!(kept["spec"]["from_the_future"]["a"], 1, "{kept}");
    assert_eq!(kept["metadata"]["description"], "changed");
    assert!(kept["metadata"].get("revision").is_none(), "storage knows the revision");
}

#[tokio::test]
async fn the_name_of_a_token_is_not_repeated() {
    let Fixture { store, .. } = fixture();
    let missing = store.fetch::<Token>("0123456789abcdef").await.expect_err("no such token");
    let shown = domain::resources::token::mask("0123456789abcdef");
    assert_eq!(missing.message, format!("token {shown:?} does not exist"));
    assert!(shown.starts_with("****"), "everywhere the same part, or two messages together would tell more");
    let missing = store.fetch::<Token>("short").await.expect_err("no such token");
    assert_eq!(missing.message, r#"token "*****" does not exist"#);
}

#[tokio::test]
async fn expiry_follows_the_metadata() {
    let Fixture { store, manual } = fixture();
    let mut short = user("short");
    short.metadata.expires = Some(manual.clock().now().checked_add(Duration::from_secs(60)).expect("a time"));
    create(&store, &short).await;
    manual.advance(Duration::from_secs(60));
    assert_eq!(store.get::<User>("short").await.expect("read"), None);
    create(&store, &short).await;
}

#[tokio::test]
async fn pages_are_bounded_in_bytes() {
    let Fixture { store, .. } = fixture();
    for n in 0..50 {
        let mut large = role(&format!("r{n:02}"));
        large.metadata.description = "x".repeat(64 * 1024);
        create(&store, &large).await;
    }
    let (mut seen, mut token, mut pages) = (0, String::new(), 0);
    loop {
        let page = store.list::<Role>(&ListRequest::page(0, &token)).await.expect("a page");
        assert!(page.items.len() * 64 * 1024 <= MAX_PAGE_BYTES, "{} large roles on a page", page.items.len());
        (seen, pages) = (seen + page.items.len(), pages + 1);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((seen, pages), (50, 2));
}

#[tokio::test]
async fn pages_name_the_last_item_returned() {
    let Fixture { store, .. } = fixture();
    for n in 0..10 {
        create(&store, &role(&format!("r{n}"))).await;
    }
    let page = store.list::<Role>(&ListRequest::page(4, "")).await.expect("a page");
    assert_eq!((page.items.len(), page.next_page_token.as_str()), (4, "r3"));
    // The item named by a token may go away.
    store.change().delete::<Role>("r3").commit().await.expect("deleted");
    let page = store.list::<Role>(&ListRequest::page(6, &page.next_page_token)).await.expect("a page");
    assert_eq!(page.items.iter().map(|role| role.name()).collect::<Vec<_>>(), ["r4", "r5", "r6", "r7", "r8", "r9"]);
    assert_eq!(page.next_page_token, "", "an exact page is the last one");

    let odd = |role: &Role| role.name().ends_with(['1', '5', '9']);
    let roles = store.repository::<Role>();
    let page = roles.list(&ListRequest::page(2, ""), odd).await.expect("a page");
    assert_eq!((page.items.len(), page.next_page_token.as_str()), (2, "r5"));
    let page = roles.list(&ListRequest::page(2, "r5"), odd).await.expect("a page");
    assert_eq!((page.items.len(), page.next_page_token.as_str()), (1, ""));
    let page = roles.list(&ListRequest::page(2, ""), |_| false).await.expect("a page");
    assert_eq!(page, Page { items: vec![], next_page_token: String::new() });
}

#[tokio::test]
async fn sparse_filters_never_give_an_empty_page_with_a_token() {
    let Fixture { store, .. } = fixture();
    let total = SCAN_AFTER_MATCH * 2 + 10;
    for n in 0..total {
        let value = domain::Stored::new(user(&format!("u{n:06}"))).encode().expect("a document");
        let put = Batch::new().put(user(&format!("u{n:06}")).key(), value, None);
        store.backend().batch(put).await.expect("stored");
    }
    let users = store.repository::<User>();
    let first_and_last = |user: &User| user.name() == "u000000" || user.name() == format!("u{:06}", total - 1);
    let page = users.list(&ListRequest::default(), first_and_last).await.expect("a page");
    assert_eq!((page.items.len(), page.next_page_token.as_str()), (1, "u000000"), "the scan is bounded");
    let page = users.list(&ListRequest::page(0, "u000000"), first_and_last).await.expect("a page");
    assert_eq!((page.items.len(), page.next_page_token.as_str()), (1, ""), "but goes on until something is found");
}

#[tokio::test]
async fn groups_are_listed_alone_and_together() {
    let Fixture { store, .. } = fixture();
    for (bot, id) in [("a", "1"), ("a", "2"), ("b", "1"), ("ab", "1")] {
        create(&store, &instance(bot, id)).await;
    }
    let all = store.list::<BotInstance>(&ListRequest::page(3, "")).await.expect("a page");
    assert_eq!(all.next_page_token, "ab/1");
    let rest = store.list::<BotInstance>(&ListRequest::page(3, &all.next_page_token)).await.expect("a page");
    assert_eq!(rest.items.iter().map(|instance| instance.group()).collect::<Vec<_>>(), ["b"]);
    let of_a = store.list::<BotInstance>(&ListRequest::page(1, "").within("a")).await.expect("a page");
    assert_eq!(of_a.next_page_token, "a/1");
    let foreign = store.list::<BotInstance>(&ListRequest::page(1, "a/1").within("b")).await;
    assert_eq!(foreign.expect_err("the token is of another list").kind, ErrorKind::Invalid);
    assert!(store.get_in::<BotInstance>("b", "1").await.expect("read").is_some());
    assert!(store.get_in::<BotInstance>("b", "2").await.expect("read").is_none());
    store.change().delete_in::<BotInstance>("a", "1").commit().await.expect("deleted");
}

#[tokio::test]
async fn an_unknown_outcome_is_unavailable() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let Fixture { store, .. } = fixture_over(|memory| {
        Arc::new(Faulty::new(memory, move |_| match counted.fetch_add(1, Ordering::Relaxed) {
            0 => Fault::UnknownApplied,
            1 => Fault::Unavailable,
            _ => Fault::None,
        }))
    });
    for _ in 0..2 {
        let failed = store.change().create(&role("ci")).expect("a document").commit().await.expect_err("a fault");
        assert_eq!(failed.kind, ErrorKind::Unavailable);
    }
    let there = store.change().create(&role("ci")).expect("a document").commit().await.expect_err("applied");
    assert_eq!(there.kind, ErrorKind::AlreadyExists, "the first one was applied after all");
}

#[tokio::test]
async fn changes_are_typed_and_shared() {
    let Fixture { store, .. } = fixture();
    let mut one = store.changes(&[Kind::Role, Kind::Lock], None).await.expect("followed");
    let mut two = store.changes(&[Kind::Role], None).await.expect("followed");
    create(&store, &user("ann")).await;
    create(&store, &role("ci")).await;
    store.change().delete::<Role>("ci").commit().await.expect("deleted");
    let mut events = Vec::new();
    for changes in [&mut one, &mut two] {
        let mut next = async || loop {
            match changes.next().await.expect("readable") {
                ChangeEvent::Progress(_) => {}
                event => return event,
            }
        };
        let ChangeEvent::Put { resource, .. } = next().await else { panic!("a role was stored") };
        let AnyResource::Role(role) = &*resource else { panic!("a role was stored") };
        assert_eq!(role.name(), "ci");
        assert_eq!(role.metadata.revision.len(), 32);
        events.push(resource);
        let ChangeEvent::Delete { kind, name, .. } = next().await else { panic!("the role was deleted") };
        assert_eq!((kind, name.as_str()), (Kind::Role, "ci"));
    }
    assert!(Arc::ptr_eq(&events[0], &events[1]), "decoded once for all who follow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_cache_follows_storage() {
    let Fixture { store, manual } = fixture();
    create(&store, &role("before")).await;
    let (cache, driver) = Cache::new(store.clone());
    assert!(!cache.is_ready() && cache.age().is_none());
    let mut tasks = JoinSet::new();
    tasks.spawn(driver.run());
    cache.wait_ready().await;
    assert_eq!(cache.as_of(), manual.clock().now());
    assert!(cache.snapshot().role("before").is_some());

    let mut changes = cache.subscribe();
    let old = cache.snapshot();
    let mut short = user("short");
    short.metadata.expires = Some(manual.clock().now().checked_add(Duration::from_secs(60)).expect("a time"));
    let change = store.change().create(&short).expect("a document");
    let change = change.create(&Lock::new("l", Default::default())).expect("a document");
    let change = change.create(&instance("b", "1")).expect("a document");
    change.delete::<Role>("before").commit().await.expect("changed");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        if let Changed::Resource { kind, name, .. } = changes.recv().await.expect("told") {
            seen.push((kind, name));
        }
    }
    let expected = [(Kind::User, "short"), (Kind::Lock, "l"), (Kind::Role, "before")];
    assert_eq!(seen, expected.map(|(kind, name)| (kind, name.to_owned())), "instances are not cached");
    let new = cache.snapshot();
    assert!(new.user("short").is_some() && new.locks().count() == 1 && new.role("before").is_none());
    assert!(old.role("before").is_some() && old.user("short").is_none(), "a snapshot does not change");

    manual.advance(Duration::from_secs(60));
    assert!(cache.snapshot().user("short").is_none(), "the cache applies expiry itself");
    assert_eq!(cache.snapshot().users().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cache_that_lost_changes_reads_anew() {
    let manual = ManualClock::new("2026-01-01T00:00:00Z".parse().expect("a time"));
    let random = Random::seeded(1);
    // A backlog of one batch: whoever is two behind has lost changes.
    let backend = Arc::new(Memory::with_backlog(manual.clock(), &random, 1, usize::MAX));
    let store = Store::new(backend, Recorder::new("example", manual.clock(), random));
    let (cache, driver) = Cache::new(store.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(driver.run());
    cache.wait_ready().await;
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let store = store.clone();
        writers.spawn(async move {
            for n in 0..200 {
                let name = format!("{writer}-{}", n % 20);
                store.change().upsert(&role(&name)).expect("a document").commit().await.expect("stored");
                if n % 3 == 0 {
                    store.change().delete::<Role>(&name).commit().await.expect("deleted");
                }
            }
        });
    }
    writers.join_all().await;
    create(&store, &role("last")).await;
    let real = Clock::system();
    let mut changes = cache.subscribe();
    let caught_up = real.timeout(Duration::from_secs(60), async {
        while cache.snapshot().role("last").is_none() {
            // After a round that was lost at once the driver rests.
            manual.advance(Duration::from_secs(1));
            let _ = real.timeout(Duration::from_millis(50), changes.recv()).await;
        }
    });
    caught_up.await.expect("the cache never sees the last role");
    let mut cached: Vec<String> = cache.snapshot().roles().map(|role| role.name().to_owned()).collect();
    cached.sort();
    let stored: Vec<String> = store.all::<Role>().await.expect("read").iter().map(|r| r.name().to_owned()).collect();
    assert_eq!(cached, stored);
}

#[test]
fn every_cached_kind_has_a_table() {
    // `decode_any` and the tables are written by macro lists; this keeps them and `CACHED` together.
    assert_eq!(CACHED.len(), 11);
    for kind in CACHED {
        assert!(kind.is_supported(), "{kind}");
        assert!(!matches!(kind, Kind::Token | Kind::BotInstance), "{kind} is read through");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_unreadable_role_is_missing_and_an_unreadable_lock_stops_the_cache() {
    let Fixture { store, manual } = fixture();
    create(&store, &role("good")).await;
    store.backend().batch(Batch::new().put(role("bad").key(), "{", None)).await.expect("stored");
    let (cache, driver) = Cache::new(store.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(driver.run());
    cache.wait_ready().await;
    assert!(cache.snapshot().role("good").is_some() && cache.snapshot().role("bad").is_none());
    assert_eq!(cache.snapshot().roles().count(), 1);

    // A lock that nobody can read must not be taken as no lock: the cache grows old instead, and says so.
    store.backend().batch(Batch::new().put(Key::new("lock", "bad"), "{", None)).await.expect("stored");
    manual.parked(1).await;
    for _ in 0..20 {
        manual.advance(Duration::from_millis(500));
        Clock::system().sleep(Duration::from_millis(2)).await;
    }
    assert!(cache.age().is_some_and(|age| age > Duration::from_secs(5)), "{:?}", cache.age());
}
