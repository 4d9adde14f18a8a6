//! SPIFFE ids, and the lists that are only compared.

use domain::resources::role::{AccountAssignment, GithubPermission, McpPermissions, SpiffeCondition};
use proptest::prelude::*;

use super::*;
use crate::{Family, Principal, Question, SvidRequest};

fn spiffe(path: &str, dns: &[&str], ip: &[&str]) -> SpiffeCondition {
    SpiffeCondition { path: path.into(), dns_sans: strings(dns), ip_sans: strings(ip) }
}

fn may(checker: &AccessChecker, path: &str, dns: &[&str], ip: &[&str]) -> bool {
    let ip: Vec<_> = ip.iter().map(|address| address.parse().unwrap()).collect();
    let request = SvidRequest { path, dns_sans: &strings(dns), ip_sans: &ip };
    checker.check(&Question::Svid(request)).allowed
}

#[test]
fn an_svid_needs_one_entry_for_all_its_names() {
    type Case<'a> = (SpiffeCondition, &'a str, &'a [&'a str], &'a [&'a str], bool);
    let cases: &[Case<'_>] = &[
        (spiffe("/svc/*", &[], &[]), "/svc/api", &[], &[], true),
        (spiffe("/svc/*", &[], &[]), "/svc/a/b", &[], &[], true),
        (spiffe("/svc/*/bar", &[], &[]), "/svc/foo/baz/bar", &[], &[], true),
        (spiffe("/svc/*", &[], &[]), "/other", &[], &[], false),
        (spiffe(r"^\/svc\/[a-z]+$", &[], &[]), "/svc/api", &[], &[], true),
        (spiffe(r"^\/svc\/[a-z]+$", &[], &[]), "/svc/api/x", &[], &[], false),
        (spiffe("/team/{{external.team}}", &[], &[]), "/team/red", &[], &[], true),
        (spiffe("/team/{{external.nothing}}", &[], &[]), "/team/", &[], &[], false),
        (spiffe("/svc/*", &[], &[]), "/svc/api", &["a.example.com"], &[], false),
        (spiffe("/svc/*", &["*.example.com"], &[]), "/svc/api", &["a.example.com"], &[], true),
        (spiffe("/svc/*", &["*.example.com"], &[]), "/svc/api", &["A.Example.COM"], &[], true),
        (spiffe("/svc/*", &["*.example.com"], &[]), "/svc/api", &["a.example.com", "b.example.org"], &[], false),
        (spiffe("/svc/*", &["*.example.com"], &[]), "/svc/api", &[], &["10.0.0.1"], false),
        (spiffe("/svc/*", &[], &["10.0.0.0/24"]), "/svc/api", &[], &["10.0.0.1", "10.0.0.9"], true),
        (spiffe("/svc/*", &[], &["10.0.0.0/24"]), "/svc/api", &[], &["10.0.0.1", "10.0.1.1"], false),
        (spiffe("/svc/*", &[], &["2001:db8::/32"]), "/svc/api", &[], &["2001:db8::1"], true),
        (spiffe("/svc/*", &[], &["10.0.0.0"]), "/svc/api", &[], &["10.0.0.0"], false),
    ];
    for (allow, path, dns, ip, expected) in cases {
        let checker = checker([role("r", |spec| spec.allow.spiffe = vec![allow.clone()])]);
        assert_eq!(may(&checker, path, dns, ip), *expected, "{allow:?} asked for {path} {dns:?} {ip:?}");
    }
    // No entry allows both names, although each is allowed by one.
    let split = [spiffe("/a", &["x"], &[]), spiffe("/a", &["y"], &[])];
    assert!(!may(&checker([role("r", |spec| spec.allow.spiffe = split.to_vec())]), "/a", &["x", "y"], &[]));
}

#[test]
fn an_svid_is_denied_by_its_path_or_by_any_of_the_names_that_the_entry_speaks_of() {
    let denied = |deny: SpiffeCondition, path: &str, dns: &[&str], ip: &[&str]| {
        let checker = checker([role("r", |spec| {
            spec.allow.spiffe = vec![spiffe("/*", &["*"], &["0.0.0.0/0"])];
            spec.deny.spiffe = vec![deny];
        })]);
        !may(&checker, path, dns, ip)
    };
    assert!(denied(spiffe("/svc/*", &[], &[]), "/svc/a", &["x"], &[]));
    assert!(denied(spiffe("/svc/*", &["*.prod"], &[]), "/svc/a", &["x", "y.prod"], &[]));
    assert!(!denied(spiffe("/svc/*", &["*.prod"], &[]), "/svc/a", &["x"], &[]));
    assert!(!denied(spiffe("/svc/*", &["*.prod"], &[]), "/other", &["y.prod"], &[]));
    assert!(denied(spiffe("/svc/*", &[], &["10.0.0.0/8"]), "/svc/a", &[], &["10.9.9.9"]));
    assert!(denied(spiffe("/svc/*", &[], &["10.0.0.0"]), "/svc/a", &[], &["11.0.0.1"]), "a range that is broken");
    assert!(denied(spiffe("^($", &[], &[]), "/svc/a", &[], &[]), "a pattern that is broken");
}

/// Every list of principals, with an entry that is allowed and one that is denied.
#[test]
fn every_list_of_principals_is_decided() {
    for principal in Principal::ALL {
        let fill = |conditions: &mut domain::resources::role::RoleConditions, values: &[&str]| {
            let values = strings(values);
            let list = match principal {
                Principal::Logins => &mut conditions.logins,
                Principal::WindowsDesktopLogins => &mut conditions.windows_desktop_logins,
                Principal::DatabaseUsers => &mut conditions.db_users,
                Principal::DatabaseNames => &mut conditions.db_names,
                Principal::DatabaseRoles => &mut conditions.db_roles,
                Principal::KubernetesGroups => &mut conditions.kubernetes_groups,
                Principal::KubernetesUsers => &mut conditions.kubernetes_users,
                Principal::AwsRoleArns => &mut conditions.aws_role_arns,
                Principal::AzureIdentities => &mut conditions.azure_identities,
                Principal::GcpServiceAccounts => &mut conditions.gcp_service_accounts,
                Principal::HostGroups => &mut conditions.host_groups,
                Principal::HostSudoers => &mut conditions.host_sudoers,
                Principal::DesktopGroups => &mut conditions.desktop_groups,
                Principal::GithubOrganizations => {
                    conditions.github_permissions = vec![GithubPermission { orgs: values }];
                    return;
                }
                Principal::McpTools => {
                    conditions.mcp = Some(McpPermissions { tools: values });
                    return;
                }
            };
            *list = values;
        };
        let of = |allow: &[&str], deny: &[&str]| {
            checker([role("r", |spec| {
                spec.allow.app_labels = Labels::wildcard();
                fill(&mut spec.allow, allow);
                fill(&mut spec.deny, deny);
            })])
        };
        let none = labels(&[]);
        let reach = |checker: &AccessChecker, value: &str| {
            let at_app = checker.check_principal(Family::App, &none, *principal, value).allowed;
            let anywhere = checker.check(&Question::Listed(*principal, value)).allowed;
            assert_eq!(at_app, anywhere, "{principal} {value}");
            assert!(!checker.check_principal(Family::Node, &none, *principal, value).allowed, "{principal}");
            at_app
        };
        let some = of(&["reader", "{{external.team}}", "writer"], &["writer"]);
        assert!(reach(&some, "reader") && reach(&some, "red"), "{principal}");
        assert!(!reach(&some, "writer") && !reach(&some, "other"), "{principal}");
        assert_eq!(some.principals(*principal, None).into_iter().collect::<Vec<_>>(), ["reader", "red"], "{principal}");
        // Whoever writes a star to deny means everything; in allow it is a pattern in some lists only.
        assert!(!reach(&of(&["reader"], &["*"]), "reader"), "{principal}");
        let patterns = matches!(
            principal,
            Principal::DatabaseUsers | Principal::DatabaseNames | Principal::McpTools | Principal::GithubOrganizations
        );
        for pattern in ["r*", "^r.*$"] {
            assert_eq!(reach(&of(&[pattern], &[]), "reader"), patterns, "{principal}");
            assert_eq!(!reach(&of(&["reader"], &[pattern]), "reader"), patterns, "{principal}");
        }
        let folds = *principal == Principal::AzureIdentities;
        assert_eq!(!reach(&of(&["READER", "reader"], &["Reader"]), "reader"), folds, "{principal}");
    }
}

#[test]
fn permission_sets_belong_to_their_accounts() {
    let of = |pairs: &[(&str, &str)]| -> Vec<AccountAssignment> {
        pairs
            .iter()
            .map(|(set, account)| AccountAssignment { permission_set: (*set).into(), account: (*account).into() })
            .collect()
    };
    let checker = checker([role("r", |spec| {
        spec.allow.account_assignments = of(&[("Admin", "1"), ("Read*", "*")]);
        spec.deny.account_assignments = of(&[("*", "9")]);
    })]);
    let ask = |set, account| checker.check(&Question::AccountAssignment(set, account));
    assert!(ask("Admin", "1").allowed && ask("ReadOnly", "2").allowed);
    assert!(!ask("Admin", "2").allowed && !ask("ReadOnly", "9").allowed);
    assert!(ask("ReadOnly", "9").reason.to_string().contains("spec.deny.account_assignments[0]"));
}

proptest! {
    #[test]
    fn more_names_never_make_an_svid_easier(
        entries in prop::collection::vec(("/|/\\*|/a\\*|\\^/a\\$", prop::collection::vec("\\*\\.x|a\\.x|b", 0..3)), 0..3),
        deny in prop::collection::vec(("/|/\\*|/a\\*", prop::collection::vec("\\*\\.x|a\\.x|b", 0..3)), 0..2),
        path in "/|/a|/b", names in prop::collection::vec("a\\.x|b\\.x|b|c", 0..3), more in "a\\.x|b|c",
    ) {
        let of = |list: &[(String, Vec<String>)]| -> Vec<SpiffeCondition> {
            list.iter().map(|(path, dns)| SpiffeCondition { path: path.clone(), dns_sans: dns.clone(), ..SpiffeCondition::default() }).collect()
        };
        let checker = checker([role("r", |spec| { spec.allow.spiffe = of(&entries); spec.deny.spiffe = of(&deny); })]);
        let few: Vec<&str> = names.iter().map(String::as_str).collect();
        let many: Vec<&str> = few.iter().copied().chain([more.as_str()]).collect();
        if may(&checker, &path, &many, &[]) {
            prop_assert!(may(&checker, &path, &few, &[]));
        }
    }
}
