//! Round trips of generated values, and the traps of the wire.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    AnyResource, Metadata, Resource, Timestamp,
    form::Labels,
    resources::{
        Bot, Lock, Role, User,
        bot::{BotSpec, Trait},
        bot_instance::{Authentication, BotInstance, Heartbeat, JoinAttrs, JoinAttrsMeta},
        lock::{LockSpec, LockTarget},
        networking_config::TunnelStrategy,
        role::{RoleConditions, RoleSpec, Rule},
    },
};
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Map, Value, json};

use super::*;
use crate::r#gen::{events, proto, teleport::machineid::v1 as machineid, types};

/// A document with defaults, through an encoded message and back.
macro_rules! round {
    ($module:ident, $document:expr) => {{
        let mut document = $document;
        Resource::set_defaults(&mut document);
        let bytes = $module::to_wire(&document).encode_to_vec();
        let message = prost::Message::decode(bytes.as_slice()).expect("our own bytes");
        prop_assert_eq!($module::from_wire(message).expect("our own message"), document);
    }};
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_.*-]{0,12}"
}

fn words() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-z]{1,6}", 0..3)
}

fn instant() -> impl Strategy<Value = Option<Timestamp>> {
    prop::option::of((-1_000_000_000_i64..4_000_000_000, 0_i32..1_000_000_000).prop_map(|(seconds, nanos)| {
        Timestamp::from_nanosecond(i128::from(seconds) * 1_000_000_000 + i128::from(nanos)).expect("in bounds")
    }))
}

fn metadata() -> impl Strategy<Value = Metadata> {
    (word(), word(), prop::collection::btree_map("[a-z]{1,6}", word(), 0..3), instant(), word()).prop_map(
        |(name, description, labels, expires, revision)| Metadata {
            description,
            labels,
            expires,
            revision,
            ..Metadata::named(name)
        },
    )
}

fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[a-z]{1,6}", prop::collection::vec(word(), 1..3), 0..3).prop_map(Labels)
}

fn traits() -> impl Strategy<Value = BTreeMap<String, Vec<String>>> {
    prop::collection::btree_map("[a-z]{1,6}", words(), 0..3)
}

fn conditions() -> impl Strategy<Value = RoleConditions> {
    (words(), labels(), labels(), words(), words(), word(), words()).prop_map(
        |(logins, node_labels, app_labels, resources, verbs, condition, db_names)| RoleConditions {
            logins,
            node_labels,
            app_labels,
            rules: vec![Rule { resources, verbs, condition, actions: Vec::new() }],
            db_names,
            ..RoleConditions::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn roles(
        metadata in metadata(), allow in conditions(), deny in conditions(), ttl in 0_u64..u64::from(u32::MAX),
        copy in prop::option::of(any::<bool>()), version in 3..9,
    ) {
        let mut role = Role { metadata, version: format!("v{version}"), ..Role::new("", RoleSpec::default()) };
        role.spec = RoleSpec { allow, deny, ..RoleSpec::default() };
        role.spec.options.max_session_ttl = Duration::from_nanos(ttl);
        role.spec.options.ssh_file_copy = copy;
        round!(role, role);
    }

    #[test]
    fn users(metadata in metadata(), roles in words(), traits in traits(), expires in instant(), by in instant()) {
        let mut user = User { metadata, ..User::default() };
        user.spec.roles = roles;
        user.spec.traits = traits;
        user.spec.expires = expires;
        user.spec.created_by.time = by;
        round!(user, user);
    }

    #[test]
    fn locks(metadata in metadata(), user in word(), bot_instance_id in word(), expires in instant(), message in word()) {
        let target = LockTarget { user, bot_instance_id, ..LockTarget::default() };
        round!(lock, Lock { metadata, ..Lock::new("", LockSpec { target, expires, message, ..LockSpec::default() }) });
    }

    #[test]
    fn bots(metadata in metadata(), roles in words(), values in words(), ttl in prop::option::of(1_u64..1_000_000)) {
        let traits = vec![Trait { name: "logins".to_owned(), values }];
        let spec = BotSpec { roles, traits, max_session_ttl: ttl.map(Duration::from_millis) };
        round!(bot, Bot { metadata, ..Bot::new("", spec) });
    }

    #[test]
    fn bot_instances(metadata in metadata(), at in instant(), generation in any::<i32>(), key in any::<Vec<u8>>(),
        uptime in 0_u64..1_000_000, method in word(), run in any::<i64>()) {
        let methods = json!({"gitlab": {"sub": "s", "runner_id": run.to_string(), "ref_protected": true},
            "gcp": {"service_account": "a", "gce": {"zone": "z"}}, "circleci": {"context_ids": ["x", "y"]}});
        let Value::Object(mut methods) = methods else { unreachable!() };
        if run == 0 {
            methods.remove("gitlab");
        }
        let meta = Some(JoinAttrsMeta { join_token_name: "t".to_owned(), join_method: method.clone() });
        let mut instance = BotInstance { metadata, ..BotInstance::default() };
        instance.status.record_authentication(Authentication {
            authenticated_at: at, generation, public_key: key.into(), join_method: method,
            join_attrs: Some(JoinAttrs { meta, methods }), ..Authentication::default()
        });
        instance.status.record_heartbeat(Heartbeat {
            recorded_at: at, uptime: Some(Duration::from_secs(uptime)), ..Heartbeat::default()
        });
        round!(bot_instance, instance);
    }

    #[test]
    fn documents_of_any_shape(number in -1.0e15_f64..1.0e15, whole in -1_000_000_i64..1_000_000, text in ".*") {
        let Value::Object(map) = json!({"n": number, "w": whole, "t": text, "l": [null, true, {"x": []}]}) else { unreachable!() };
        let wire: prost_types::Struct = map.to_wire();
        let back: Map<String, Value> = Wire::from_wire(wire).expect("our own");
        prop_assert_eq!(back["n"].as_f64(), Some(number));
        prop_assert_eq!(&back["w"], &map["w"]);
        prop_assert_eq!((&back["t"], &back["l"]), (&map["t"], &map["l"]));
    }

    #[test]
    fn what_strangers_send_is_read_or_refused(seconds in any::<i64>(), nanos in any::<i32>(), ttl in any::<i64>()) {
        let _ = time(Some(prost_types::Timestamp { seconds, nanos }));
        let read = <Duration as Wire<i64>>::from_wire(ttl);
        prop_assert_eq!(read.is_ok(), ttl >= 0);
        let _ = <Duration as Wire<prost_types::Duration>>::from_wire(prost_types::Duration { seconds, nanos });
    }
}

/// A bot that says so of itself must not make the list of all instances unreadable.
#[test]
fn what_a_bot_says_can_be_read_back_from_storage() {
    let longest = domain::form::duration::MAX;
    let (last, nanos) = (i64::try_from(longest.as_secs()).expect("in bounds"), longest.subsec_nanos().cast_signed());
    for (seconds, nanos, is_taken) in
        [(0, 1, true), (last, nanos, true), (last, nanos + 1, false), (last + 1, 0, false), (i64::MAX, 0, false)]
    {
        let heartbeat = machineid::BotInstanceStatusHeartbeat {
            uptime: Some(prost_types::Duration { seconds, nanos }),
            recorded_at: Some(timestamp(Timestamp::MIN)),
            ..Default::default()
        };
        let read = <Heartbeat as Wire<machineid::BotInstanceStatusHeartbeat>>::from_wire(heartbeat);
        assert_eq!(read.is_ok(), is_taken, "{seconds}.{nanos}: {read:?}");
        let Ok(heartbeat) = read else { continue };
        let mut instance = BotInstance::default();
        instance.status.record_heartbeat(heartbeat);
        let stored = domain::Stored::new(instance.clone()).encode().expect("stored");
        let back = domain::Stored::<BotInstance>::decode(&stored).expect("readable");
        assert_eq!(back.value.status, instance.status);
    }
}

/// Documents as people write them, with most fields set: what arrives is what was sent.
#[test]
fn written_documents_survive() {
    let documents: &[(&str, &str)] = &[
        ("token", include_str!("testdata/tokens.yaml")),
        ("role", include_str!("testdata/roles.yaml")),
        ("every field of a role", include_str!("../../../domain/src/resources/role/every_field.yaml")),
        ("others", include_str!("testdata/others.yaml")),
    ];
    let mut seen = 0;
    for (name, text) in documents {
        for mut resource in domain::read_documents(text, name).unwrap_or_else(|error| panic!("{name}: {error:?}")) {
            seen += 1;
            check(&mut resource);
        }
    }
    assert!(seen >= 20, "only {seen} documents");
}

fn check(resource: &mut AnyResource) {
    macro_rules! through {
        ($($variant:ident $module:ident),*) => {
            match resource {
                $(AnyResource::$variant(document) => {
                    document.set_defaults();
                    let message = $module::to_wire(document);
                    assert_eq!($module::from_wire(message).as_ref(), Ok(&*document));
                })*
            }
        };
    }
    through!(
        Role role, User user, Token token, Bot bot, BotInstance bot_instance, Lock lock, CertAuthority cert_authority,
        ClusterName cluster_name, AuthPreference auth_preference, NetworkingConfig networking_config,
        SessionRecordingConfig session_recording_config, AuditConfig audit_config, App app, AppServer app_server
    );
}

#[test]
fn the_year_one_is_no_time() {
    let year_one = prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 };
    assert_eq!(time(Some(year_one)), Ok(None));
    assert_eq!(time(Some(prost_types::Timestamp::default())), Ok(Some(Timestamp::UNIX_EPOCH)));
    assert_eq!(time(None), Ok(None));
    let before = Timestamp::from_nanosecond(-1).expect("in bounds");
    assert_eq!(timestamp(before), prost_types::Timestamp { seconds: -1, nanos: 999_999_999 });
    assert_eq!(time(Some(timestamp(before))), Ok(Some(before)));
}

#[test]
fn an_empty_role_gets_the_defaults() {
    let metadata = Some(types::Metadata { name: "a".to_owned(), ..Default::default() });
    let role = role::from_wire(types::RoleV6 { metadata, ..Default::default() }).expect("a name is enough");
    assert_eq!((role.version.as_str(), role.spec.options.cert_format.as_str()), ("v7", "standard"));
    assert_eq!(role.spec.options.max_session_ttl, Duration::from_secs(30 * 3600));
}

#[test]
fn a_present_false_is_not_an_absent_one() {
    let options = types::RoleOptions { ssh_file_copy: Some(types::BoolValue { value: false }), ..Default::default() };
    let spec = Some(types::RoleSpecV6 { options: Some(options), ..Default::default() });
    let role = role::from_wire(types::RoleV6 { spec, ..Default::default() }).expect("fine");
    assert_eq!(role.spec.options.ssh_file_copy, Some(false));
}

#[test]
fn refusals_name_the_field() {
    let spec = types::RoleSpecV6 {
        options: Some(types::RoleOptions { max_session_ttl: -1, ..Default::default() }),
        ..Default::default()
    };
    let error = role::from_wire(types::RoleV6 { spec: Some(spec), ..Default::default() }).expect_err("negative");
    assert_eq!(error.message, "spec.options.max_session_ttl: must not be negative");
    let session = Some(types::WebauthnDevice::default());
    let device = types::MfaDevice { device: session.map(types::mfa_device::Device::Webauthn), ..Default::default() };
    let local_auth = Some(types::LocalAuthSecrets { mfa: vec![device], ..Default::default() });
    let spec = Some(types::UserSpecV2 { local_auth, ..Default::default() });
    let error = user::from_wire(types::UserV2 { spec, ..Default::default() }).expect_err("a second factor");
    assert_eq!(error.message, "spec.local_auth.mfa[0]: a second factor is not supported yet; leave it out");
    let error = role::from_wire(types::RoleV6 { kind: "user".to_owned(), ..Default::default() }).expect_err("a user");
    assert_eq!(error.message, "kind: must be \"role\", found \"user\"");
}

#[test]
fn tunnel_strategies_survive() {
    for strategy in [TunnelStrategy::AgentMesh, TunnelStrategy::ProxyPeering { agent_connection_count: 3 }] {
        assert_eq!(Wire::from_wire(strategy.to_wire()), Ok(strategy));
    }
}

#[test]
fn watch_events_survive() {
    let lock = Lock::new("l", LockSpec::default());
    let message = watch::put(&AnyResource::Lock(lock.clone())).expect("locks are watched");
    match watch::from_wire(message) {
        Ok(watch::Event::Put(resource)) => assert_eq!(*resource, AnyResource::Lock(lock)),
        other => panic!("{other:?}"),
    }
    match watch::from_wire(watch::delete(domain::Kind::CertAuthority, "user", "v2", "c")) {
        Ok(watch::Event::Delete { kind: domain::Kind::CertAuthority, sub_kind, name }) => {
            assert_eq!(sub_kind + &name, "userc")
        }
        other => panic!("{other:?}"),
    }
    let kinds = vec![types::WatchKind { kind: "role".to_owned(), ..Default::default() }];
    assert!(matches!(watch::from_wire(watch::init(kinds.clone())), Ok(watch::Event::Init(found)) if found == kinds));
    assert!(watch::from_wire(proto::Event::default()).is_ok(), "an empty INIT is one");
    assert!(watch::put(&AnyResource::Bot(Bot::default())).is_none());
}

#[test]
fn typed_events_say_what_the_log_says() {
    let Value::Object(json) = json!({
        "ei": 3, "event": "lock.created", "uid": "u", "code": "TLK00I", "time": "2026-01-02T03:04:05Z", "cluster_name": "c",
        "name": "l", "updated_by": "alice", "user": "alice", "user_kind": 1,
        "target": {"user": "bob"}, "lock": {"target": {"user": "bob"}},
    }) else {
        unreachable!()
    };
    let message = audit_event::to_one_of(&json).expect("a typed kind");
    let bytes = message.encode_to_vec();
    let message = events::OneOf::decode(bytes.as_slice()).expect("our own bytes");
    let back = audit_event::from_one_of(&message).expect("an event");
    for (key, value) in &json {
        assert_eq!(back.get(key), Some(value), "{key}");
    }
    let free = audit_event::to_unstructured(&json).expect("a time");
    assert_eq!((free.r#type.as_str(), free.index, free.id.as_str()), ("lock.created", 3, "u"));
    assert_eq!(audit_event::from_unstructured(free), Ok(json));
}

#[test]
fn every_typed_kind_keeps_its_header() {
    for name in audit_event::NAMES {
        let Value::Object(json) = json!({"event": name, "uid": "u", "code": "X"}) else { unreachable!() };
        let message = audit_event::to_one_of(&json).unwrap_or_else(|| panic!("{name}"));
        let back = audit_event::from_one_of(&message).expect("an event");
        assert_eq!((back["event"].as_str(), back["uid"].as_str()), (Some(*name), Some("u")));
    }
    let Value::Object(json) = json!({"event": "tessera.audit.checkpoint"}) else { unreachable!() };
    assert!(audit_event::to_one_of(&json).is_none());
}
