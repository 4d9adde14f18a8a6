//! Sessions with several people.

use domain::resources::role::{SessionJoinPolicy, SessionRequirePolicy};

use super::*;
use crate::{OnLeave, Participant, Presence, Question, SessionToJoin};

fn join(roles: &[&str], kinds: &[&str], modes: &[&str]) -> SessionJoinPolicy {
    SessionJoinPolicy { name: "p".into(), roles: strings(roles), kinds: strings(kinds), modes: strings(modes) }
}

#[test]
fn a_session_may_be_joined_by_kind_mode_and_the_roles_of_its_owner() {
    let checker = checker([
        role("helper", |spec| {
            spec.allow.join_sessions =
                vec![join(&["prod-*"], &["ssh", "k8s"], &["observer", "moderator"]), join(&["*"], &["*"], &["peer"])];
        }),
        role("no", |spec| spec.deny.join_sessions = vec![join(&["root"], &["*"], &["*"])]),
    ]);
    for (kind, mode, owner, expected) in [
        ("ssh", "observer", &["dev", "prod-web"][..], true),
        ("ssh", "observer", &["dev"], false),
        ("db", "observer", &["prod-web"], false),
        ("ssh", "peer", &["dev"], true),
        ("ssh", "peer", &["dev", "root"], false),
        ("ssh", "peer", &[], false),
    ] {
        let owner_roles = strings(owner);
        let question = Question::JoinSession(SessionToJoin { kind, mode, owner_roles: &owner_roles });
        let decision = checker.check(&question);
        assert_eq!(decision.allowed, expected, "{kind} {mode} {owner:?}: {}", decision.reason);
    }
}

fn require(name: &str, filter: &str, count: i32, on_leave: &str) -> SessionRequirePolicy {
    SessionRequirePolicy {
        name: name.into(),
        filter: filter.into(),
        kinds: strings(&["ssh"]),
        count,
        modes: strings(&["moderator"]),
        on_leave: on_leave.into(),
    }
}

#[test]
fn one_policy_of_every_role_that_has_some_must_be_met() {
    let auditor = r#"contains(user.spec.roles, "auditor")"#;
    let prod = role("prod", |spec| {
        spec.allow.require_session_join = vec![
            require("auditor", auditor, 1, "pause"),
            require("two", r#"contains(user.spec.traits["team"], "red")"#, 2, "pause"),
        ];
    });
    let strict = role("strict", |spec| {
        spec.allow.require_session_join = vec![require("boss", r#"equals(user.metadata.name, "boss")"#, 1, "")];
    });
    let (none, red) = (Traits::new(), traits(&[("team", &["red"])]));
    let (auditors, plain) = (strings(&["auditor"]), strings(&[]));
    let person = |name, roles, traits, mode| Participant { name, roles, traits, mode };
    let (audrey, watcher) =
        (person("audrey", &auditors, &none, "moderator"), person("will", &auditors, &none, "observer"));
    let (rick, rose) = (person("rick", &plain, &red, "moderator"), person("rose", &plain, &red, "moderator"));
    let boss = person("boss", &plain, &none, "moderator");
    let owner = person("ann", &auditors, &red, "moderator");
    let missing = |unmet: &[(&str, &[&str])], on_leave| Presence::Missing {
        unmet: unmet.iter().map(|(role, names)| ((*role).to_owned(), strings(names))).collect(),
        on_leave,
    };
    let one = checker([prod.clone()]);
    assert_eq!(one.presence("ssh", &[]), missing(&[("prod", &["auditor", "two"])], OnLeave::Pause));
    assert_eq!(one.presence("db", &[]), Presence::Enough, "the policies are for ssh");
    assert_eq!(one.presence("ssh", &[audrey]), Presence::Enough);
    assert_ne!(one.presence("ssh", &[watcher]), Presence::Enough, "in the wrong mode");
    assert_ne!(one.presence("ssh", &[rick]), Presence::Enough);
    assert_ne!(one.presence("ssh", &[rick, rick]), Presence::Enough, "the same person twice");
    assert_eq!(one.presence("ssh", &[rick, rose]), Presence::Enough);
    assert_ne!(one.presence("ssh", &[owner]), Presence::Enough, "nobody watches himself");
    let both = checker([prod, strict]);
    assert_eq!(both.presence("ssh", &[audrey]), missing(&[("strict", &["boss"])], OnLeave::Terminate));
    assert_eq!(both.presence("ssh", &[audrey, boss]), Presence::Enough);
    let broken =
        checker([role("r", |spec| spec.allow.require_session_join = vec![require("x", "contains(", 1, "pause")])]);
    assert_ne!(broken.presence("ssh", &[audrey, boss]), Presence::Enough);
    assert_eq!(checker([]).presence("ssh", &[]), Presence::Enough);
}
