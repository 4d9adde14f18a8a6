use std::collections::HashSet;

use clock::{Clock, ManualClock};
use crypto::Random;

use super::*;
use crate::events::{
    auth::AccessDenied, bot::BotCreate, cert, join::BotJoin, lock, role::RoleCreate, user::UserCreate,
};

fn recorder() -> Recorder {
    let clock: Clock = ManualClock::new("2026-03-04T05:06:07.089Z".parse().unwrap()).clock();
    Recorder::new("example.com", clock, Random::seeded(7))
}

/// The record without its id, which is random.
fn json(event: &impl Event) -> String {
    let text = String::from_utf8(recorder().entry(event).value.to_vec()).unwrap();
    let (before, rest) = text.split_once(r#""uid":""#).unwrap();
    format!(r#"{before}"uid":"…{}"#, &rest[36..])
}

fn alice() -> UserMetadata {
    UserMetadata { user: "alice".into(), user_kind: UserKind::Human, ..Default::default() }
}

#[test]
fn a_serial_number_is_read_as_text_and_as_the_number_that_it_was() {
    for written in [r#"{"ssh_serial_number":"18446744073709551615"}"#, r#"{"ssh_serial_number":18446744073709551615}"#]
    {
        let event: cert::CertificateCreate = serde_json::from_str(written).unwrap();
        assert_eq!(event.ssh_serial_number, Some(u64::MAX), "{written}");
    }
    assert_eq!(serde_json::from_str::<cert::CertificateCreate>("{}").unwrap().ssh_serial_number, None);
}

#[test]
fn records_look_as_their_readers_expect() {
    let remote = || ConnectionMetadata::from_remote("10.0.0.1:4242");
    insta::assert_snapshot!(
        json(&RoleCreate {
            resource: ResourceMetadata::new("ci", None, "alice"),
            user: alice(),
            connection: remote(),
        }),
        @r#"{"ei":0,"event":"role.created","uid":"…","code":"T9000I","time":"2026-03-04T05:06:07.089Z","cluster_name":"example.com","name":"ci","expires":"0001-01-01T00:00:00Z","updated_by":"alice","user":"alice","user_kind":1,"addr.remote":"10.0.0.1:4242"}"#
    );
    insta::assert_snapshot!(
        json(&BotJoin {
            status: Status::failed("token expired or not found"),
            connection: remote(),
            bot_name: "unknown".into(),
            method: "unknown".into(),
            attempts: 3,
            ..Default::default()
        }),
        @r#"{"ei":0,"event":"bot.join","uid":"…","code":"TJ001E","time":"2026-03-04T05:06:07.089Z","cluster_name":"example.com","success":false,"error":"token expired or not found","addr.remote":"10.0.0.1:4242","bot_name":"unknown","method":"unknown","attempts":3}"#
    );
    let target = serde_json::json!({"user": "bot-ci"});
    insta::assert_snapshot!(
        json(&lock::LockCreate {
            resource: ResourceMetadata::new("l", Some("2026-04-01T00:00:00Z".parse().unwrap()), "alice"),
            user: alice(),
            lock: lock::LockMetadata { target: target.clone(), message: String::new() },
            target,
            ..Default::default()
        }),
        @r#"{"ei":0,"event":"lock.created","uid":"…","code":"TLK00I","time":"2026-03-04T05:06:07.089Z","cluster_name":"example.com","name":"l","expires":"2026-04-01T00:00:00.000Z","updated_by":"alice","user":"alice","user_kind":1,"target":{"user":"bot-ci"},"lock":{"target":{"user":"bot-ci"}}}"#
    );
    insta::assert_snapshot!(
        json(&cert::CertificateCreate {
            cert_type: "user".into(),
            identity: cert::CertificateIdentity {
                user: "bot-ci".into(),
                roles: vec!["bot-ci".into()],
                expires: Some("2026-03-04T06:06:07Z".parse().unwrap()),
                bot_name: "ci".into(),
                ..Default::default()
            },
            generation: Some(2),
            ssh_serial_number: Some(u64::MAX),
            ..Default::default()
        }),
        @r#"{"ei":0,"event":"cert.create","uid":"…","code":"TC000I","time":"2026-03-04T05:06:07.089Z","cluster_name":"example.com","cert_type":"user","identity":{"user":"bot-ci","roles":["bot-ci"],"expires":"2026-03-04T06:06:07.000Z","prev_identity_expires":"0001-01-01T00:00:00Z","bot_name":"ci"},"ssh_serial_number":"18446744073709551615","generation":2}"#
    );
    insta::assert_snapshot!(
        json(&AccessDenied {
            user: alice(),
            status: Status::failed("access denied"),
            operation: "CreateRole".into(),
            verb: "create".into(),
            kind: "role".into(),
            explanation: "no role allows create on role".into(),
            ..Default::default()
        }),
        @r#"{"ei":0,"event":"tessera.access.denied","uid":"…","code":"TSR001W","time":"2026-03-04T05:06:07.089Z","cluster_name":"example.com","user":"alice","user_kind":1,"success":false,"error":"access denied","operation":"CreateRole","verb":"create","kind":"role","explanation":"no role allows create on role"}"#
    );
}

#[test]
fn a_record_reads_back_as_the_event_it_was() {
    let user = UserCreate {
        user: alice(),
        resource: ResourceMetadata::new("bob", None, "alice"),
        roles: vec!["access".into()],
        connector: "local".into(),
        ..Default::default()
    };
    let written = recorder().entry(&user);
    let entry = Entry::read(written.value).unwrap();
    assert_eq!((entry.id, entry.time), (written.id, written.time));
    assert_eq!(
        (entry.event.as_str(), entry.code.as_str(), entry.cluster.as_str()),
        ("user.create", "T1002I", "example.com")
    );
    assert_eq!(entry.decode().unwrap(), Some(user.into()));
}

#[test]
fn the_code_follows_the_outcome() {
    for (success, limited, code) in [(true, false, "TJ001I"), (false, false, "TJ001E"), (false, true, "TJ001L")] {
        let event = BotJoin { status: Status { success, ..Default::default() }, limited, ..Default::default() };
        assert_eq!(event.code(), code);
    }
    assert_eq!(BotCreate::default().code(), "TB001I");
}

#[test]
fn no_name_and_no_code_is_declared_twice() {
    let (mut names, mut codes) = (HashSet::new(), HashSet::new());
    for declared in CATALOGUE {
        assert!(names.insert(declared.name), "{}", declared.name);
        for code in declared.codes {
            assert!(codes.insert(code), "{code}");
        }
    }
}

#[test]
fn every_event_of_the_catalogue_can_be_written_and_read_without_its_fields() {
    for declared in CATALOGUE {
        let event = AnyEvent::from_json(declared.name, serde_json::json!({})).unwrap().unwrap();
        assert_eq!(event.name(), declared.name);
        assert!(declared.codes.contains(&event.code()));
    }
    assert_eq!(AnyEvent::from_json("no.such.event", serde_json::json!({})).unwrap(), None);
}
