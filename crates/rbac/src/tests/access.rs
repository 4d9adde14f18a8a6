use domain::{
    Kind,
    resources::role::{ImpersonateConditions, Rule},
};
use proptest::prelude::*;

use super::*;
use crate::{Family, Named, Principal, Question, RuleContext, Verb};

fn with_rules(name: &str, allow: Vec<Rule>, deny: Vec<Rule>) -> Role {
    role(name, |spec| {
        spec.allow.rules = allow;
        spec.deny.rules = deny;
    })
}

#[test]
fn a_verb_needs_a_rule_for_it() {
    type Case<'a> = (&'a [&'a str], &'a [&'a str], Kind, Verb, bool);
    let cases: &[Case<'_>] = &[
        (&["role"], &["read"], Kind::Role, Verb::Read, true),
        (&["role"], &["read"], Kind::Role, Verb::ReadNoSecrets, true),
        (&["role"], &["readnosecrets"], Kind::Role, Verb::Read, false),
        (&["role"], &["read"], Kind::Role, Verb::List, false),
        (&["role"], &["*"], Kind::Role, Verb::Delete, true),
        (&["role"], &["*"], Kind::User, Verb::Delete, false),
        (&["*"], &["list"], Kind::User, Verb::List, true),
        (&["auth_connector"], &["list"], Kind::Oidc, Verb::List, true),
        (&["oidc"], &["list"], Kind::AuthConnector, Verb::List, false),
        (&["no_such_kind"], &["list"], Kind::User, Verb::List, false),
        (&["user"], &["lst"], Kind::User, Verb::List, false),
    ];
    for (kinds, verbs, kind, verb, expected) in cases {
        let rule = || Rule::new(kinds.iter().copied(), verbs.iter().copied());
        let allowed = checker([with_rules("r", vec![rule()], vec![])]);
        assert_eq!(allowed.check_rule(&RuleContext::NONE, *kind, *verb).allowed, *expected, "{kinds:?} {verbs:?}");
        if *expected {
            let denied = checker([
                with_rules("all", vec![Rule::new(["*"], ["*"])], vec![]),
                with_rules("no", vec![], vec![rule()]),
            ]);
            let decision = denied.check_rule(&RuleContext::NONE, *kind, *verb);
            assert!(!decision.allowed);
            assert_eq!(decision.reason.to_string(), r#"denied by role "no", spec.deny.rules[0]"#);
        }
    }
    let secretive =
        checker([with_rules("r", vec![Rule::new(["token"], ["*"])], vec![Rule::new(["token"], ["readnosecrets"])])]);
    assert!(!secretive.check_rule(&RuleContext::NONE, Kind::Token, Verb::Read).allowed);
    assert!(secretive.check_rule(&RuleContext::NONE, Kind::Token, Verb::List).allowed);
}

#[test]
fn conditions_decide_on_the_resource_and_what_is_unknown_never_grants() {
    let own = |side: &str| Rule::new(["session"], ["read", "list"]).only_where(side);
    let participant = "contains(session.participants, user.metadata.name)";
    let mine = checker([with_rules("access", vec![own(participant)], vec![])]);
    let people = strings(&["bob", "ann"]);
    let others = strings(&["bob"]);
    let of = |list| RuleContext { session_participants: Some(list), ..RuleContext::default() };
    assert!(mine.check_rule(&of(&people), Kind::Session, Verb::Read).allowed);
    assert!(!mine.check_rule(&of(&others), Kind::Session, Verb::Read).allowed);
    assert!(!mine.check_rule(&RuleContext::NONE, Kind::Session, Verb::Read).allowed);
    assert!(mine.may_be_allowed(Kind::Session, Verb::List));
    assert!(!mine.may_be_allowed(Kind::Session, Verb::Delete));

    let all = || vec![Rule::new(["session"], ["*"])];
    let not_mine = checker([with_rules("r", all(), vec![own(participant)])]);
    assert!(!not_mine.check_rule(&of(&people), Kind::Session, Verb::Read).allowed);
    assert!(not_mine.check_rule(&of(&others), Kind::Session, Verb::Read).allowed);
    let unknown = not_mine.check_rule(&RuleContext::NONE, Kind::Session, Verb::Read);
    assert!(!unknown.allowed);
    assert!(unknown.reason.to_string().contains("session.participants is not known here"), "{}", unknown.reason);

    for broken in ["contains(", "user.spec.rolls == 'x'"] {
        assert!(
            !checker([with_rules("r", vec![own(broken)], vec![])])
                .check_rule(&of(&people), Kind::Session, Verb::Read)
                .allowed
        );
        assert!(
            !checker([with_rules("r", all(), vec![own(broken)])])
                .check_rule(&of(&people), Kind::Session, Verb::Read)
                .allowed
        );
    }

    let mut prod = role("prod", |_| {});
    prod.metadata.labels = labels(&[("env", "prod")]);
    let by_label = checker([with_rules(
        "r",
        vec![Rule::new(["role"], ["read"]).only_where(r#"equals(resource.metadata.labels["env"], "prod")"#)],
        vec![],
    )]);
    assert!(by_label.check_rule(&RuleContext::of(&prod), Kind::Role, Verb::Read).allowed);
    assert!(!by_label.check_rule(&RuleContext::of(&role("other", |_| {})), Kind::Role, Verb::Read).allowed);
}

#[test]
fn labels_select_resources() {
    type Case<'a> = (&'a [(&'a str, &'a [&'a str])], &'a str, &'a [(&'a str, &'a str)], bool);
    let cases: &[Case<'_>] = &[
        (&[], "", &[("env", "dev")], false),
        (&[("*", &["*"])], "", &[], true),
        (&[("*", &["x"])], "", &[("env", "x")], false),
        (&[("env", &["dev"])], "", &[("env", "dev"), ("a", "b")], true),
        (&[("env", &["prod", "dev"])], "", &[("env", "dev")], true),
        (&[("env", &["dev"]), ("team", &["red"])], "", &[("env", "dev")], false),
        (&[("*", &["*"]), ("team", &["red"])], "", &[("env", "dev")], false),
        (&[("env", &["*"])], "", &[], false),
        (&[("env", &["d*"])], "", &[("env", "dev")], true),
        (&[("env", &["d.v"])], "", &[("env", "dev")], false),
        (&[("env", &["^d.v$"])], "", &[("env", "dev")], true),
        (&[("env", &["{{external.env}}"])], "", &[("env", "staging")], true),
        (&[("env", &["x-{{external.env}}"])], "", &[("env", "x-dev")], true),
        (&[("env", &["{{external.nothing}}"])], "", &[("env", "")], false),
        (&[("env", &["{{external.odd}}"])], "", &[("env", "^(")], true),
        (&[("env", &["^($"])], "", &[("env", "^($")], false),
        (&[], r#"contains(user.spec.traits["team"], labels["team"])"#, &[("team", "red")], true),
        (&[], r#"labels["team"] == "blue""#, &[("team", "red")], false),
        (&[("env", &["dev"])], r#"labels["team"] == "red""#, &[("env", "dev")], false),
        (&[("env", &["dev"])], r#"labels["team"] == "red""#, &[("env", "dev"), ("team", "red")], true),
        (&[("env", &["prod"])], r#"labels["team"] == "red""#, &[("env", "dev"), ("team", "red")], false),
    ];
    for (map, expression, resource, expected) in cases {
        let reaching = checker([role("r", |spec| {
            spec.allow.app_labels = selector(map);
            spec.allow.app_labels_expression = (*expression).to_owned();
        })]);
        let decision = reaching.check_labels(Family::App, &labels(resource));
        assert_eq!(decision.allowed, *expected, "{map:?} {expression} on {resource:?}: {}", decision.reason);
        assert!(!reaching.check_labels(Family::Node, &labels(resource)).allowed);
    }
    let either = checker([role("r", |spec| {
        spec.allow.app_labels = Labels::wildcard();
        spec.deny.app_labels = selector(&[("env", &["prod"])]);
        spec.deny.app_labels_expression = r#"labels["team"] == "blue""#.to_owned();
    })]);
    assert!(!either.check_labels(Family::App, &labels(&[("env", "prod")])).allowed);
    assert!(!either.check_labels(Family::App, &labels(&[("team", "blue")])).allowed);
    assert!(either.check_labels(Family::App, &labels(&[("team", "red")])).allowed);
    let broken = checker([role("r", |spec| {
        spec.allow.app_labels = Labels::wildcard();
        spec.deny.app_labels = selector(&[("env", &["^($"])]);
    })]);
    assert!(!broken.check_labels(Family::App, &labels(&[("env", "dev")])).allowed);
    assert!(broken.check_labels(Family::App, &labels(&[("team", "dev")])).allowed);
}

#[test]
fn versions_differ_in_what_silence_means() {
    let at = |version: &str, logins: &[&str]| {
        let mut role = role("r", |spec| spec.allow.logins = strings(logins));
        role.version = version.to_owned();
        checker([role])
    };
    let any = labels(&[("a", "b")]);
    assert!(at("v3", &["ann"]).check_labels(Family::Node, &any).allowed);
    assert!(!at("v3", &[]).check_labels(Family::Node, &any).allowed);
    assert!(at("v3", &[]).check_labels(Family::App, &any).allowed);
    for version in ["v4", "v5", "v6", "v7", "v8"] {
        assert!(!at(version, &["ann"]).check_labels(Family::App, &any).allowed, "{version}");
    }
}

#[test]
fn principals_are_the_union_of_allowed_without_denied() {
    let dev = role("dev", |spec| {
        spec.allow.logins = strings(&["{{internal.logins}}", "ubuntu", "{{internal.nothing}}"]);
        spec.allow.node_labels = selector(&[("env", &["dev"])]);
    });
    let ops = role("ops", |spec| {
        spec.allow.logins = strings(&["admin"]);
        spec.allow.node_labels = selector(&[("env", &["prod"])]);
        spec.allow.db_users = strings(&["*"]);
        spec.allow.db_labels = Labels::wildcard();
    });
    let no_root = role("no-root", |spec| {
        spec.deny.logins = strings(&["root"]);
        spec.deny.db_users = strings(&["postgres"]);
    });
    let all = checker([dev, ops, no_root]);
    assert_eq!(all.principals(Principal::Logins, None).into_iter().collect::<Vec<_>>(), ["admin", "ann", "ubuntu"]);
    let prod = labels(&[("env", "prod")]);
    let at_prod = all.principals(Principal::Logins, Some((Family::Node, &prod)));
    assert_eq!(at_prod.into_iter().collect::<Vec<_>>(), ["admin"]);
    let node = |login: &str| all.check_principal(Family::Node, &prod, Principal::Logins, login);
    assert!(node("admin").allowed);
    // Allowed by one role, reached by another: no role allows both.
    assert!(!node("ann").allowed);
    assert!(node("root").reason.to_string().contains(r#"role "no-root", spec.deny.logins"#));
    let database = |user: &str| all.check_principal(Family::Database, &prod, Principal::DatabaseUsers, user).allowed;
    assert!(database("anybody") && !database("postgres"));
}

#[test]
fn impersonation() {
    let one = |users: &[&str], roles: &[&str], condition: &str| {
        Some(ImpersonateConditions { users: strings(users), roles: strings(roles), condition: condition.to_owned() })
    };
    let none = labels(&[]);
    let prod = labels(&[("env", "prod")]);
    let named = |name| Named { name, labels: &none };
    let bot = checker([role("bot-ci", |spec| spec.allow.impersonate = one(&[], &["deploy", "read-*"], ""))]);
    assert!(bot.check_impersonate_roles(&[named("deploy"), named("read-all")]).allowed);
    assert!(!bot.check_impersonate_roles(&[named("deploy"), named("admin")]).allowed);
    assert!(!bot.check_impersonate_roles(&[]).allowed);
    assert!(!bot.check_impersonate_user(named("ann"), &[named("deploy")]).allowed);

    let labelled = r#"equals(impersonate_role.metadata.labels["env"], "prod")"#;
    let by_label = checker([role("r", |spec| spec.allow.impersonate = one(&["svc"], &["*"], labelled))]);
    assert!(by_label.check_impersonate_roles(&[Named { name: "x", labels: &prod }]).allowed);
    assert!(!by_label.check_impersonate_roles(&[named("x")]).allowed);
    assert!(by_label.check_impersonate_user(named("svc"), &[Named { name: "x", labels: &prod }]).allowed);
    assert!(!by_label.check_impersonate_user(named("other"), &[Named { name: "x", labels: &prod }]).allowed);

    let split = checker([
        role("users", |spec| spec.allow.impersonate = one(&["svc"], &[], "")),
        role("roles", |spec| spec.allow.impersonate = one(&[], &["x"], "")),
    ]);
    assert!(!split.check_impersonate_user(named("svc"), &[named("x")]).allowed, "one role must allow both");

    let denied = checker([
        role("yes", |spec| spec.allow.impersonate = one(&["*"], &["*"], "")),
        role("no", |spec| spec.deny.impersonate = one(&["root"], &["admin"], "")),
    ]);
    assert!(denied.check_impersonate_user(named("svc"), &[named("x")]).allowed);
    assert!(!denied.check_impersonate_user(named("root"), &[named("x")]).allowed);
    assert!(!denied.check_impersonate_user(named("svc"), &[named("x"), named("admin")]).allowed);
    assert!(!denied.check_impersonate_roles(&[named("admin")]).allowed);
    insta::assert_snapshot!(denied.explain(&Question::ImpersonateRole(named("admin"))).to_string(), @r#"
    denied: denied by role "no", spec.deny.impersonate.roles
      role "yes", spec.allow.impersonate.roles: allows
      role "no", spec.deny.impersonate.roles: denies
    "#);
}

#[test]
fn every_role_is_explained() {
    let checker = checker([
        with_rules("viewer", vec![Rule::new(["role"], ["list"])], vec![]),
        with_rules(
            "own",
            vec![Rule::new(["role"], ["delete"]).only_where(r#"equals(resource.metadata.name, "mine")"#)],
            vec![],
        ),
        with_rules("frozen", vec![], vec![Rule::new(["role"], ["delete", "update"])]),
    ]);
    let explained = checker.explain_rule(&RuleContext::NONE, Kind::Role, Verb::Delete).to_string();
    insta::assert_snapshot!(explained, @r#"
    denied: denied by role "frozen", spec.deny.rules[0]
      role "viewer": says nothing about it
      role "own", spec.allow.rules[0]: does not allow: condition: resource.metadata.name is not known here
      role "frozen", spec.deny.rules[0]: denies
    "#);
    let nobody = AccessChecker::nobody().check_rule(&RuleContext::NONE, Kind::Role, Verb::List);
    assert_eq!(nobody.reason.to_string(), "list of role is not allowed: the caller holds no role");
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let kinds = prop::sample::subsequence(vec!["role", "user", "token", "*"], 0..=4);
    let verbs = prop::sample::subsequence(vec!["list", "read", "readnosecrets", "create", "*"], 0..=5);
    (kinds, verbs).prop_map(|(kinds, verbs)| Rule::new(kinds, verbs))
}

fn any_selector() -> impl Strategy<Value = Labels> {
    let key = prop::sample::select(vec!["env", "team", "*"]);
    let value = prop::sample::select(vec!["dev", "d*", "*", "^d.*$", "{{external.env}}", "red", "^("]);
    prop::collection::btree_map(key, prop::collection::vec(value, 0..3), 0..3)
        .prop_map(|map| map.into_iter().map(|(key, values)| (key, strings(&values))).collect())
}

proptest! {
    #[test]
    fn deny_always_wins(
        allow in prop::collection::vec(prop::collection::vec(any_rule(), 0..4), 0..4),
        deny in any_rule(),
        place in 0_usize..5,
    ) {
        let mut roles: Vec<Role> = allow.into_iter().enumerate()
            .map(|(i, rules)| with_rules(&i.to_string(), rules, vec![])).collect();
        let before = checker(roles.clone());
        let denier = || with_rules("deny", vec![Rule::new(["*"], ["*"])], vec![deny.clone()]);
        roles.insert(place.min(roles.len()), denier());
        let after = checker(roles);
        let alone = checker([denier()]);
        for kind in [Kind::Role, Kind::User, Kind::Token] {
            for verb in Verb::ALL {
                let says = |c: &AccessChecker| c.check_rule(&RuleContext::NONE, kind, verb).allowed;
                if deny.verbs.iter().any(|v| v == verb.as_str() || v == "*")
                    && deny.resources.iter().any(|r| r == kind.as_str() || r == "*") {
                    prop_assert!(!says(&after));
                }
                // The order of roles does not matter, and what one role denies no other brings back.
                prop_assert_eq!(says(&after), says(&alone));
                if !before.may_be_allowed(kind, verb) {
                    prop_assert!(!says(&before));
                }
            }
        }
    }

    #[test]
    fn what_is_denied_by_label_is_never_reached(
        allow in any_selector(), deny in any_selector(),
        resource in prop::collection::btree_map("env|team", "dev|red|staging|", 0..3),
    ) {
        let only_deny = checker([role("r", |spec| { spec.allow.app_labels = deny.clone(); })]);
        let both = checker([role("r", |spec| {
            spec.allow.app_labels = allow;
            spec.deny.app_labels = deny;
        })]);
        if only_deny.check_labels(Family::App, &resource).allowed {
            prop_assert!(!both.check_labels(Family::App, &resource).allowed);
        }
    }
}
