use super::*;

const GRACE: Duration = Duration::from_secs(72 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a valid time")
}

fn keys(n: u8) -> Digest {
    Digest([n; 32])
}

fn question(presented: u32, key: u8, now: Timestamp) -> Question {
    Question { presented, keys: keys(key), not_after: after(now, HOUR) }
}

fn after(time: Timestamp, span: Duration) -> Timestamp {
    time.saturating_add(span).expect("in range")
}

fn joined() -> Lineage {
    Lineage::first("ci".into(), keys(1), at(3600), Some("token".into()))
}

#[test]
fn a_lost_answer_is_given_again_with_the_same_end_and_generation() {
    let Some(Verdict::Repeat(again)) = joined().repeat(keys(1), at(9999), GRACE, at(60)) else { panic!("no repeat") };
    assert_eq!((again.generation, again.not_after), (1, at(3600)));
}

#[test]
fn a_lost_answer_after_its_end_gets_a_new_end_within_the_grace_and_nothing_later() {
    let record = joined();
    let Some(Verdict::Repeat(again)) = record.repeat(keys(1), at(10_000), GRACE, at(5000)) else { panic!("no repeat") };
    assert_eq!((again.generation, again.not_after), (1, at(10_000)));
    assert_eq!(record.repeat(keys(1), at(999_999), GRACE, at(3600 + 72 * 3600)), None);
}

#[test]
fn repeats_are_bounded_then_slow_and_never_a_mismatch() {
    let mut record = joined();
    for _ in 0..REPEATS {
        let Some(Verdict::Repeat(next)) = record.repeat(keys(1), at(0), GRACE, at(10)) else { panic!("no repeat") };
        record = next;
    }
    let Verdict::Limit(Some(noted)) = record.renew(question(0, 1, at(11)), GRACE, at(11)) else { panic!("no limit") };
    assert_eq!(noted.renew(question(0, 1, at(12)), GRACE, at(12)), Verdict::Limit(None), "a pause is recorded twice");
    assert!(matches!(record.renew(question(0, 1, at(11)), GRACE, at(10 + 600)), Verdict::Repeat(_)));
}

#[test]
fn a_renewal_advances_and_an_old_certificate_with_other_keys_is_a_copy() {
    let Verdict::Renew(second) = joined().renew(question(1, 2, at(100)), GRACE, at(100)) else { panic!("no renewal") };
    assert_eq!(second.generation, 2);
    assert_eq!(
        second.renew(question(1, 3, at(200)), GRACE, at(200)),
        Verdict::Mismatch { stored: 2, presented: 1 },
        "the answer to keys 2 is pending, keys 3 come from a copy"
    );
    assert!(matches!(second.renew(question(1, 2, at(200)), GRACE, at(200)), Verdict::Repeat(_)));
}

#[test]
fn a_store_behind_the_bot_was_rolled_back_and_locks_nobody() {
    let Verdict::RolledBack(next) = joined().renew(question(7, 2, at(100)), GRACE, at(100)) else {
        panic!("no rollback")
    };
    assert_eq!(next.generation, 8);
}

#[test]
fn use_of_the_new_credential_ends_the_repeats() {
    let used = joined().arrived(1).expect("pending");
    assert_eq!(used.repeat(keys(1), at(0), GRACE, at(10)), None);
    assert_eq!(joined().arrived(2), None);
}

#[test]
fn the_lost_answer_of_a_shorter_life_is_repeated_while_the_longer_certificate_lasts() {
    let week = at(7 * 24 * 3600);
    let held = Lineage::recreated("ci".into(), 5, week);
    let Verdict::Renew(lost) = held.renew(question(5, 6, at(0)), GRACE, at(0)) else { panic!("no renewal") };
    let later = at(74 * 3600);
    let Verdict::Repeat(again) = lost.renew(question(5, 6, later), GRACE, later) else { panic!("locked as a copy") };
    assert_eq!((again.generation, again.not_after), (6, after(later, HOUR)));
    assert_eq!(lost.repeat(keys(6), at(0), GRACE, after(week, GRACE)), None, "nothing of it is good any more");
}

proptest::proptest! {
    /// Whatever is lost or repeated in between, however long it is away and its certificates live, an honest bot never meets
    /// a mismatch and generations never go back.
    #[test]
    fn an_honest_bot_is_never_locked(
        asks in proptest::collection::vec((proptest::bool::ANY, 60_u64..100 * 3600, 3600_u64..200 * 3600), 1..60),
    ) {
        let mut server = joined();
        let (mut held, mut end, mut asked, mut fresh) = (1_u32, at(3600), 2_u8, true);
        let mut now = at(0);
        for (lost, away, life) in asks {
            now = after(now, Duration::from_secs(away));
            if now >= after(end, GRACE) {
                // Its certificate is good for nothing any more: it needs a new token.
                break;
            }
            if fresh { asked = asked.wrapping_add(1); }
            let not_after = after(now, Duration::from_secs(life));
            match server.renew(Question { presented: held, keys: keys(asked), not_after }, GRACE, now) {
                Verdict::Renew(next) | Verdict::Repeat(next) => {
                    proptest::prop_assert!(next.generation >= server.generation);
                    if lost {
                        fresh = false;
                    } else {
                        (held, end) = (next.generation, next.not_after);
                        fresh = true;
                    }
                    server = next;
                }
                Verdict::Limit(noted) => server = noted.unwrap_or(server),
                other => proptest::prop_assert!(false, "{other:?}"),
            }
        }
    }
}

#[test]
fn a_short_certificate_takes_the_record_of_a_longer_one_with_it() {
    let short = Question { presented: 1, keys: keys(2), not_after: at(12) };
    let Verdict::Renew(second) = joined().renew(short, Duration::ZERO, at(10)) else { panic!("no renewal") };
    assert_eq!((second.not_after, second.expires(Duration::ZERO)), (at(12), at(3600)));
    let third = Question { presented: 2, keys: keys(3), not_after: at(14) };
    let Verdict::Renew(third) = second.renew(third, Duration::ZERO, at(12)) else { panic!("no renewal") };
    assert_eq!(third.expires(GRACE), at(3600 + 72 * 3600));
}
