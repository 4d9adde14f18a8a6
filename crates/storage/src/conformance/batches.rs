//! Batches: atomic, conditional, bounded, expiring, and safe among writers who do not know of each other.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Fixture, foreign, key, refused};
use crate::{Batch, Condition, Error, MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS, Prefix};

/// Writers at once in the tests of races.
const WRITERS: usize = 16;

pub(super) async fn run(fixture: &impl Fn(u64) -> Fixture) {
    items_are_kept_and_removed(&fixture(1)).await;
    conditions_decide_alone(&fixture(2)).await;
    a_refused_batch_leaves_nothing(&fixture(3)).await;
    limits_are_exact(&fixture(4)).await;
    expired_items_are_absent(&fixture(5)).await;
    the_clock_may_step_back(&fixture(6)).await;
    one_creator_wins(&Arc::new(fixture(7))).await;
    increments_are_not_lost(&Arc::new(fixture(8))).await;
    a_condition_guards_other_keys(&Arc::new(fixture(9))).await;
}

async fn items_are_kept_and_removed(fixture: &Fixture) {
    assert_eq!(fixture.get("a").await, None);
    let first = fixture.put("a", "1").await;
    let item = fixture.get("a").await.expect("stored");
    assert_eq!((&item.value[..], item.revision, item.expires), (&b"1"[..], first.revision, None));
    assert_eq!(item.cursor, first.cursor);
    let second = fixture.put("a", "2").await;
    assert_ne!(second.revision, first.revision, "each version has a revision of its own");
    assert!(second.cursor > first.cursor);

    // Empty values, and names that need care.
    for name in ["", "\0", "a\0b", "\u{1}", "ä/ö", "%_'\"", &"x".repeat(4_096)] {
        fixture.put(name, "").await;
        assert_eq!(fixture.value(name).await.as_deref(), Some(&b""[..]), "{name:?}");
    }
    fixture.batch(Batch::new().delete(key("a")).delete(key("never"))).await.expect("a deletion");
    assert_eq!(fixture.get("a").await, None);
    assert!(fixture.get("a\0b").await.is_some());
}

async fn conditions_decide_alone(fixture: &Fixture) {
    fixture.put("a", "1").await;
    let a = fixture.get("a").await.expect("stored");
    let now = Condition::Revision(key("a"), a.revision);
    for (condition, holds) in [
        (Condition::Exists(key("a")), true),
        (Condition::Exists(key("b")), false),
        (Condition::Absent(key("a")), false),
        (Condition::Absent(key("b")), true),
        (now.clone(), true),
        (foreign(&a), false),
        (Condition::Revision(key("b"), a.revision), false),
        (Condition::Expired(key("a"), a.revision), false),
    ] {
        // With nothing to write a batch is a question.
        let result = fixture.batch(Batch::new().require(condition.clone())).await;
        assert_eq!(result.is_ok(), holds, "{condition:?}");
        let both = Batch::new().require(now.clone()).require(condition.clone());
        match fixture.batch(both).await {
            Ok(_) => assert!(holds, "{condition:?}"),
            result => refused(result, 1, condition.key().name()),
        }
    }
    assert_eq!(fixture.get("a").await, Some(a), "a question changes nothing");

    // Conditions see the state before the batch, not its own writes.
    let batch = Batch::new().require(Condition::Absent(key("c"))).put(key("c"), "1", None);
    fixture.batch(batch.clone()).await.expect("c is new");
    refused(fixture.batch(batch).await, 0, "c");
}

async fn a_refused_batch_leaves_nothing(fixture: &Fixture) {
    fixture.put("old", "1").await;
    let batch = Batch::new()
        .put(key("new"), "1", None)
        .delete(key("old"))
        .require(Condition::Exists(key("old")))
        .require(Condition::Exists(key("missing")));
    refused(fixture.batch(batch).await, 1, "missing");
    assert_eq!(fixture.names(&Prefix::all(), 10).await, ["old"]);

    let twice = Batch::new().put(key("new"), "1", None).delete(key("new"));
    assert_eq!(fixture.batch(twice).await, Err(Error::DuplicateKey { key: key("new") }));
}

async fn limits_are_exact(fixture: &Fixture) {
    let many = |count: usize| (0..count).fold(Batch::new(), |batch, n| batch.put(key(&format!("{n:03}")), "", None));
    fixture.batch(many(MAX_BATCH_OPERATIONS)).await.expect("just within the limit");
    let result = fixture.batch(many(MAX_BATCH_OPERATIONS + 1)).await;
    assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
    assert_eq!(fixture.names(&Prefix::all(), 1_000).await.len(), MAX_BATCH_OPERATIONS);

    let name = key("big");
    let fits = MAX_BATCH_BYTES - name.kind().len() - name.name().len();
    fixture.batch(Batch::new().put(name.clone(), vec![7; fits], None)).await.expect("just within the limit");
    assert_eq!(fixture.value("big").await.expect("stored").len(), fits);
    let result = fixture.batch(Batch::new().put(name, vec![7; fits + 1], None)).await;
    assert!(matches!(result, Err(Error::TooLarge { .. })), "{result:?}");
}

async fn expired_items_are_absent(fixture: &Fixture) {
    let expires = fixture.after(Duration::from_secs(60));
    let batch = Batch::new().put(key("short"), "1", expires).put(key("long"), "1", None);
    fixture.batch(batch).await.expect("stored");
    let short = fixture.get("short").await.expect("not expired yet");
    assert_eq!(short.expires, expires);
    let sweep = || {
        let expired = Condition::Expired(key("short"), short.revision);
        Batch::new().require(expired).delete(key("short"))
    };
    refused(fixture.batch(sweep()).await, 0, "short");
    assert!(fixture.backend.expired(10).await.expect("a look").is_empty());

    fixture.manual.advance(Duration::from_secs(59));
    assert!(fixture.get("short").await.is_some(), "an item lives to its last instant");
    fixture.manual.advance(Duration::from_secs(1));
    assert_eq!(fixture.get("short").await, None, "expires ≤ now is absent");
    assert_eq!(fixture.names(&Prefix::all(), 10).await, ["long"]);
    refused(fixture.batch(Batch::new().require(Condition::Exists(key("short")))).await, 0, "short");
    let unchanged = Condition::Revision(key("short"), short.revision);
    refused(fixture.batch(Batch::new().require(unchanged)).await, 0, "short");

    let due = fixture.backend.expired(10).await.expect("a look");
    assert_eq!(due.iter().map(|item| item.key.clone()).collect::<Vec<_>>(), [key("short")]);
    // What came back between the look and the sweep stays.
    let again = Batch::new().require(Condition::Absent(key("short"))).put(key("short"), "2", None);
    fixture.batch(again).await.expect("an expired item does not stand in the way");
    refused(fixture.batch(sweep()).await, 0, "short");
    assert_eq!(fixture.value("short").await.as_deref(), Some(&b"2"[..]));
    assert!(fixture.backend.expired(10).await.expect("a look").is_empty());
}

async fn the_clock_may_step_back(fixture: &Fixture) {
    let expires = fixture.after(Duration::from_secs(60));
    fixture.batch(Batch::new().put(key("a"), "1", expires)).await.expect("stored");
    let start = fixture.now();
    fixture.manual.set(fixture.after(Duration::from_secs(3_600)).expect("a time"));
    assert_eq!(fixture.get("a").await, None);
    fixture.manual.set(start);
    assert!(fixture.get("a").await.is_some(), "nobody has removed it meanwhile");
    let item = fixture.get("a").await.expect("stored");
    fixture.manual.set(fixture.after(Duration::from_secs(3_600)).expect("a time"));
    let sweep = Batch::new().require(Condition::Expired(key("a"), item.revision)).delete(key("a"));
    fixture.batch(sweep).await.expect("it is expired");
    fixture.manual.set(start);
    assert_eq!(fixture.get("a").await, None, "swept is gone");
}

async fn one_creator_wins(fixture: &Arc<Fixture>) {
    for round in 0..20 {
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let fixture = fixture.clone();
            writers.spawn(async move {
                let target = key(&format!("{round}"));
                let mine = key(&format!("{round}-{writer}"));
                let batch = Batch::new().require(Condition::Absent(target.clone()));
                fixture.batch(batch.put(target, format!("{writer}"), None).put(mine, "", None)).await.is_ok()
            });
        }
        let won = writers.join_all().await.into_iter().filter(|won| *won).count();
        assert_eq!(won, 1, "an item is created once");
        let traces = Prefix::names("thing", "", format!("{round}-"));
        assert_eq!(fixture.names(&traces, 100).await.len(), 1, "a batch that lost left nothing");
    }
}

async fn increments_are_not_lost(fixture: &Arc<Fixture>) {
    const EACH: usize = 20;
    fixture.put("counter", "0").await;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let fixture = fixture.clone();
        writers.spawn(async move {
            let mut done = 0;
            while done < EACH {
                let item = fixture.get("counter").await.expect("stored");
                let count: usize = std::str::from_utf8(&item.value).expect("text").parse().expect("a number");
                let batch = Batch::new().require(Condition::Revision(key("counter"), item.revision));
                match fixture.batch(batch.put(key("counter"), format!("{}", count + 1), None)).await {
                    Ok(_) => {
                        done += 1;
                        let seen = fixture.get("counter").await.expect("stored");
                        assert!(seen.cursor > item.cursor, "who was answered sees at least his own write");
                    }
                    Err(Error::Condition { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
    writers.join_all().await;
    assert_eq!(fixture.value("counter").await, Some(format!("{}", WRITERS * EACH).into()));
}

/// Each batch moves a token from one of two keys to the other, guarded by the key that it does not write.
async fn a_condition_guards_other_keys(fixture: &Arc<Fixture>) {
    fixture.put("guard", "").await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let fixture = fixture.clone();
        writers.spawn(async move {
            let mut written = 0;
            loop {
                let batch = Batch::new().require(Condition::Exists(key("guard")));
                let name = format!("w{writer:02}-{written}");
                match fixture.batch(batch.put(key(&name), "", None)).await {
                    Ok(_) => written += 1,
                    Err(Error::Condition { .. }) => return written,
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
    while fixture.names(&Prefix::names("thing", "", "w"), 1_000).await.len() < WRITERS {
        tokio::task::yield_now().await;
    }
    fixture.batch(Batch::new().delete(key("guard"))).await.expect("the guard goes");
    let then = fixture.names(&Prefix::names("thing", "", "w"), 1_000).await.len();
    let written: usize = writers.join_all().await.into_iter().sum();
    assert_eq!(written, then, "nothing is written once the guard is known to be gone");
}
