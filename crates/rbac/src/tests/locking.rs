use std::time::Duration;

use domain::{
    Timestamp,
    resources::lock::{Lock, LockSpec, LockTarget},
};

use crate::{
    LockingMode,
    locks::{LockSubject, LockView, Locked, Passed, STALE_AFTER, check, find},
};

fn lock(target: LockTarget) -> Lock {
    Lock::new("id", LockSpec { target, message: "no more".to_owned(), ..LockSpec::default() })
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn subject() -> LockSubject<'static> {
    LockSubject {
        user: "bot-ci",
        roles: vec!["deploy", "bot-ci"],
        logins: vec!["ubuntu"],
        mfa_device: "m",
        windows_desktop: "w",
        access_requests: vec!["q"],
        device: "d",
        server_ids: vec!["h", "h.example.com"],
        bot_instance_id: "i",
        // Of `t`.
        join_token_hash: "e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8",
    }
}

#[test]
fn any_field_of_a_target_hits() {
    let empty = LockTarget::default;
    let hits = [
        LockTarget { user: "bot-ci".into(), ..empty() },
        LockTarget { role: "deploy".into(), ..empty() },
        LockTarget { login: "ubuntu".into(), ..empty() },
        LockTarget { mfa_device: "m".into(), ..empty() },
        LockTarget { windows_desktop: "w".into(), ..empty() },
        LockTarget { access_request: "q".into(), ..empty() },
        LockTarget { device: "d".into(), ..empty() },
        LockTarget { server_id: "h.example.com".into(), ..empty() },
        LockTarget { node: "h".into(), ..empty() },
        LockTarget { bot_instance_id: "i".into(), ..empty() },
        LockTarget { join_token: "t".into(), ..empty() },
        LockTarget { user: "somebody".into(), join_token: "t".into(), ..empty() },
    ];
    for target in hits {
        assert!(subject().is_hit_by(&lock(target.clone())), "{target:?}");
        assert!(!LockSubject::default().is_hit_by(&lock(target.clone())), "{target:?} hits nobody in particular");
    }
    let misses = [empty(), LockTarget { user: "deploy".into(), role: "ubuntu".into(), ..empty() }];
    for target in misses {
        assert!(!subject().is_hit_by(&lock(target)));
    }
}

#[test]
fn the_mode_matters_only_for_stale_views() {
    let mut ended = lock(LockTarget { user: "bot-ci".into(), ..LockTarget::default() });
    ended.spec.expires = Some(at(100));
    fn view(locks: &[Lock]) -> LockView<&[Lock]> {
        LockView { locks, as_of: at(96), stale_after: STALE_AFTER }
    }
    let list = [ended];
    assert!(find(&list, &subject(), at(99)).is_some());
    for mode in [LockingMode::Strict, LockingMode::BestEffort] {
        let refused = check(view(&list), &subject(), mode, at(99)).unwrap_err();
        assert_eq!(refused.to_string(), r#"lock targeting User:"bot-ci" is in force: no more"#);
        assert_eq!(check(view(&list), &subject(), mode, at(100)), Ok(Passed::Fresh));
        assert!(check(view(&list), &subject(), mode, at(90)).is_err(), "a known lock holds at any age");
    }
    let age = Duration::from_secs(6);
    assert_eq!(check(view(&[]), &subject(), LockingMode::Strict, at(102)), Err(Locked::Stale { age }));
    assert_eq!(check(view(&[]), &subject(), LockingMode::BestEffort, at(102)), Ok(Passed::Stale(age)));
    assert_eq!(check(view(&[]), &subject(), LockingMode::Strict, at(50)), Ok(Passed::Fresh), "a clock set back");
}
