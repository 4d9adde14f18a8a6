use std::time::Duration;

use clock::Timestamp;
use proptest::prelude::*;

use super::machine::*;

const HOUR: u64 = 3600;

fn at(seconds: u64) -> Now {
    Now { wall: wall(seconds), boot: Duration::from_secs(seconds) }
}

fn wall(seconds: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::try_from(seconds).expect("small")).expect("a time")
}

fn validity(from: u64, to: u64) -> Validity {
    Validity { not_before: wall(from), not_after: wall(to), renewable: true }
}

fn machine() -> Machine {
    Machine::new(Duration::from_secs(1200), None, true)
}

#[test]
fn a_start_asks_at_once_in_the_way_that_is_open() {
    let start = |identity, token| Machine::new(Duration::from_secs(1200), identity, token).step(at(100));
    assert_eq!(start(None, true), Step::Ask(Way::Join));
    assert_eq!(start(None, false), Step::Stuck);
    assert_eq!(start(Some(validity(0, HOUR)), false), Step::Ask(Way::Renew));
    assert_eq!(start(Some(validity(0, 50)), true), Step::Ask(Way::Grace));
    let not_renewable = Validity { renewable: false, ..validity(0, HOUR) };
    assert_eq!(start(Some(not_renewable), true), Step::Ask(Way::Join));
}

#[test]
fn the_interval_or_half_of_what_is_left_is_waited_for() {
    let mut machine = machine();
    machine.succeeded(at(0).wall, at(0), validity(0, HOUR));
    assert_eq!(machine.step(at(0)), Step::Wait(Duration::from_secs(1200)));
    assert_eq!(machine.step(at(1200)), Step::Ask(Way::Renew));
    machine.succeeded(at(1200).wall, at(1200), validity(1200, 1800));
    assert_eq!(machine.step(at(1200)), Step::Wait(Duration::from_secs(300)), "shorter than asked for");
}

#[test]
fn a_suspend_and_a_step_of_the_clock_are_noticed() {
    let mut machine = machine();
    machine.succeeded(at(0).wall, at(0), validity(0, HOUR));
    let slept = Now { wall: wall(30 * HOUR), boot: Duration::from_secs(30 * HOUR) };
    assert_eq!(machine.step(slept), Step::Ask(Way::Grace), "a weekend without power");
    let set_forward = Now { wall: wall(2000), boot: Duration::from_secs(10) };
    assert_eq!(machine.step(set_forward), Step::Ask(Way::Renew));
    let set_back = Now { wall: wall(0), boot: Duration::from_secs(1200) };
    assert_eq!(machine.step(set_back), Step::Ask(Way::Renew), "the boot clock still counts");
}

#[test]
fn a_clock_far_ahead_makes_no_hot_loop_of_renewals() {
    let mut machine = machine();
    machine.succeeded(at(2 * HOUR).wall, at(2 * HOUR), validity(0, HOUR));
    assert_eq!(machine.step(at(2 * HOUR)), Step::Wait(Duration::from_secs(1200)));
    assert_eq!(machine.step(at(2 * HOUR + 1200)), Step::Ask(Way::Grace));
}

#[test]
fn a_suspend_before_the_answer_is_taken_is_no_wrong_clock() {
    let mut machine = machine();
    machine.succeeded(at(0).wall, at(2 * HOUR), validity(0, HOUR));
    assert_eq!(machine.step(at(2 * HOUR)), Step::Ask(Way::Grace));
}

#[test]
fn a_clock_far_behind_waits_no_longer_than_the_certificate_lives() {
    let mut machine = machine();
    // Ten minutes from the server's now on, and backdated.
    machine.succeeded(at(0).wall, at(0), validity(HOUR - 300, HOUR + 600));
    assert_eq!(machine.step(at(0)), Step::Wait(Duration::from_secs(450)));
    assert_eq!(machine.step(at(450)), Step::Ask(Way::Renew));
}

#[test]
fn failures_wait_longer_each_time_and_never_longer_than_a_minute() {
    let mut machine = machine();
    let mut waits = Vec::new();
    for _ in 0..9 {
        machine.failed(at(0), Failure::Unavailable, 1.0);
        let Step::Wait(wait) = machine.step(at(0)) else { panic!("a wait") };
        waits.push(wait.as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert!(machine.is_unhealthy());
    machine.succeeded(at(0).wall, at(0), validity(0, HOUR));
    assert_eq!((machine.failures(), machine.is_unhealthy()), (0, false));
    machine.failed(at(1200), Failure::Unavailable, 1.0);
    assert_eq!(machine.step(at(1200)), Step::Wait(FIRST_WAIT), "the waits begin anew");
}

#[test]
fn the_server_decides_what_has_expired() {
    let mut machine = Machine::new(Duration::from_secs(1200), Some(validity(0, HOUR)), true);
    machine.failed(at(10), Failure::Expired, 0.0);
    assert_eq!(machine.step(at(10)), Step::Ask(Way::Grace), "our clock is behind");
    machine.failed(at(10), Failure::GraceOver, 0.0);
    assert_eq!(machine.step(at(10)), Step::Ask(Way::Join));
    machine.failed(at(10), Failure::TokenRefused, 0.0);
    assert_eq!(machine.step(at(10)), Step::Stuck);
    let mut repeated = Machine::new(Duration::from_secs(1200), Some(validity(0, HOUR)), false);
    repeated.failed(at(10), Failure::Expired, 0.0);
    repeated.failed(at(10), Failure::Expired, 0.0);
    assert!(matches!(repeated.step(at(10)), Step::Wait(_)), "saying so twice makes no hot loop");
}

#[test]
fn somebody_asking_is_served_at_once() {
    let mut machine = machine();
    machine.succeeded(at(0).wall, at(0), validity(0, HOUR));
    machine.renew_now();
    assert_eq!(machine.step(at(1)), Step::Ask(Way::Renew));
}

#[derive(Debug, Clone)]
enum Happening {
    Pass(u64),
    Suspend(u64),
    Set(i64),
    Fail(Failure),
    /// A certificate of this life, from a server whose clock is so much ahead of ours.
    Succeed(u64, i64),
    Signal,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (0_u64..4000).prop_map(Happening::Pass),
        (0_u64..400_000).prop_map(Happening::Suspend),
        (-400_000_i64..400_000).prop_map(Happening::Set),
        prop_oneof![
            Just(Failure::Unavailable),
            Just(Failure::Expired),
            Just(Failure::GraceOver),
            Just(Failure::Refused)
        ]
        .prop_map(Happening::Fail),
        (2_u64..90_000, -100_000_i64..100_000).prop_map(|(life, ahead)| Happening::Succeed(life, ahead)),
        Just(Happening::Signal),
    ]
}

proptest! {
    /// Whatever happens: no wait outlasts the interval, a failure is followed by a wait or another way, an expired
    /// certificate is never used for an ordinary renewal, and a bot with a token is never stuck.
    #[test]
    fn the_machine_keeps_going(happenings in prop::collection::vec(happening(), 1..60)) {
        let interval = Duration::from_secs(1200);
        let mut machine = Machine::new(interval, None, true);
        let (mut boot, mut clock) = (Duration::ZERO, 10_000_000_i64);
        let mut end = None;
        for happening in happenings {
            let now = Now { wall: wall(u64::try_from(clock).expect("positive")), boot };
            match happening {
                Happening::Pass(seconds) | Happening::Suspend(seconds) => {
                    boot += Duration::from_secs(seconds);
                    clock += i64::try_from(seconds).expect("small");
                }
                Happening::Set(seconds) => clock = (clock + seconds).max(0),
                Happening::Fail(failure) => machine.failed(now, failure, 0.5),
                Happening::Succeed(life, ahead) => {
                    let by = Duration::from_secs(ahead.unsigned_abs());
                    let not_before = if ahead < 0 { now.wall - by } else { now.wall + by };
                    let not_after = not_before + Duration::from_secs(life);
                    end = Some(not_after);
                    machine.succeeded(now.wall, now, Validity { not_before, not_after, renewable: true });
                    prop_assert!(matches!(machine.step(now), Step::Wait(_)), "a new certificate is used for a while");
                }
                Happening::Signal => machine.renew_now(),
            }
            let now = Now { wall: wall(u64::try_from(clock).expect("positive")), boot };
            match machine.step(now) {
                Step::Wait(wait) => prop_assert!(!wait.is_zero() && wait <= interval, "{wait:?}"),
                Step::Ask(Way::Renew) => prop_assert!(end.is_some_and(|end| now.wall < end)),
                Step::Ask(_) => {}
                Step::Stuck => prop_assert!(false, "stuck"),
            }
        }
    }
}
