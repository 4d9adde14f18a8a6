//! Access requests and their reviews.

use std::time::Duration;

use domain::resources::role::{
    AccessRequestConditions, AccessRequestReason, AccessReviewConditions, AccessReviewThreshold, ClaimMapping,
    RequestKubernetesResource,
};

use super::*;
use crate::{LONGEST_GRANT, Question, RequestState, RequestUnderReview, Review};

fn asking(name: &str, part: AccessRequestConditions) -> Role {
    role(name, |spec| spec.allow.request = Some(part))
}

fn for_roles(roles: &[&str]) -> AccessRequestConditions {
    AccessRequestConditions { roles: strings(roles), ..AccessRequestConditions::default() }
}

fn claim(claim: &str, value: &str, roles: &[&str]) -> ClaimMapping {
    ClaimMapping { claim: claim.into(), value: value.into(), roles: strings(roles) }
}

#[test]
fn a_role_may_be_asked_for_that_is_listed_or_that_a_claim_gives() {
    let checker = checker([
        asking(
            "dev",
            AccessRequestConditions {
                claims_to_roles: vec![claim("team", "r*", &["red-admin"]), claim("team", "blue", &["blue-admin"])],
                ..for_roles(&["prod-*", "^db-(a|b)$", "env-{{external.env}}"])
            },
        ),
        role("no", |spec| spec.deny.request = Some(for_roles(&["prod-root"]))),
    ]);
    for (role, expected) in [
        ("prod-web", true),
        ("prod-root", false),
        ("db-a", true),
        ("db-c", false),
        ("env-dev", true),
        ("red-admin", true),
        ("blue-admin", false),
        ("admin", false),
    ] {
        assert_eq!(checker.check(&Question::RequestRole(role)).allowed, expected, "{role}");
    }
    insta::assert_snapshot!(checker.explain(&Question::RequestRole("prod-root")).to_string(), @r#"
    denied: denied by role "no", spec.deny.request.roles
      role "dev", spec.allow.request.roles: allows
      role "no", spec.deny.request.roles: denies
    "#);
    assert!(checker.request_terms(&[], false).is_err());
    assert!(checker.request_terms(&["prod-web", "admin"], false).is_err());
}

#[test]
fn resources_are_looked_for_as_the_roles_that_are_listed() {
    let search = |roles: &[&str]| AccessRequestConditions { search_as_roles: strings(roles), ..Default::default() };
    let kinds = |kinds: &[(&str, &str)]| -> Vec<RequestKubernetesResource> {
        kinds
            .iter()
            .map(|(kind, group)| RequestKubernetesResource { kind: (*kind).into(), api_group: (*group).into() })
            .collect()
    };
    let searching = checker([
        asking("a", search(&["access", "db-access", "secret-access"])),
        role("no", |spec| spec.deny.request = Some(search(&["secret-*"]))),
    ]);
    assert_eq!(searching.search_as_roles().into_iter().collect::<Vec<_>>(), ["access", "db-access"]);
    assert!(searching.request_terms(&["access"], true).is_ok());
    assert!(searching.request_terms(&["access"], false).is_err(), "a resource is not a role");
    assert!(searching.check(&Question::RequestKubernetes("pods", "")).allowed, "nothing limits the kinds");

    let mut pods =
        asking("a", AccessRequestConditions { kubernetes_resources: kinds(&[("pods", "")]), ..search(&["access"]) });
    pods.version = "v8".into();
    let mut namespaces = asking(
        "b",
        AccessRequestConditions { kubernetes_resources: kinds(&[("namespace", "")]), ..search(&["access"]) },
    );
    namespaces.version = "v7".into();
    let limited = checker([pods, namespaces]);
    for (kind, group, expected) in
        [("pods", "", true), ("pods", "acme.io", false), ("namespace", "", true), ("secrets", "", false)]
    {
        assert_eq!(limited.check(&Question::RequestKubernetes(kind, group)).allowed, expected, "{group}/{kind}");
    }
    assert!(!checker([role("r", |_| {})]).check(&Question::RequestKubernetes("pods", "")).allowed);
}

#[test]
fn the_terms_are_those_of_every_role_that_lets_it_be_asked_for() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let mut noisy = asking(
        "a",
        AccessRequestConditions {
            max_duration: hours(48),
            suggested_reviewers: strings(&["bob"]),
            annotations: [("service".to_owned(), strings(&["{{external.team}}", "all", "{{external.nothing}}"]))]
                .into(),
            reason: Some(AccessRequestReason { mode: "required".into(), prompt: "which ticket?".into() }),
            ..for_roles(&["prod"])
        },
    );
    noisy.spec.options.request_access = "always".into();
    let roles = || {
        [
            noisy.clone(),
            asking(
                "b",
                AccessRequestConditions {
                    max_duration: hours(8),
                    suggested_reviewers: strings(&["eve"]),
                    ..for_roles(&["*"])
                },
            ),
            asking("c", AccessRequestConditions { max_duration: hours(1), ..for_roles(&["other"]) }),
            role("no", |spec| {
                let annotations = [("service".to_owned(), strings(&["all"]))].into();
                spec.deny.request = Some(AccessRequestConditions { annotations, ..Default::default() });
            }),
        ]
    };
    let both = checker(roles());
    let prod = both.request_terms(&["prod"], false).unwrap();
    assert_eq!((prod.max_duration, prod.reason_required), (hours(8), true));
    assert_eq!(prod.suggested_reviewers.into_iter().collect::<Vec<_>>(), ["bob", "eve"]);
    assert_eq!(prod.annotations, [("service".to_owned(), ["red".to_owned()].into())].into());
    assert_eq!(prod.prompts.into_iter().collect::<Vec<_>>(), ["which ticket?"]);
    assert_eq!(prod.thresholds["prod"].len(), 2);
    let dev = both.request_terms(&["dev"], false).unwrap();
    assert!(!dev.reason_required && dev.annotations.is_empty());
    let plain = checker([asking("a", for_roles(&["x"]))]);
    assert_eq!(plain.request_terms(&["x"], false).unwrap().max_duration, LONGEST_GRANT);
    let mut reason = asking("a", for_roles(&["x"]));
    reason.spec.options.request_access = "reason".into();
    assert!(checker([reason]).request_terms(&["x"], false).unwrap().reason_required);
}

/// Reviews written `+bob` and `-eve`; whoever's name begins with a capital is a lead.
fn state(checker: &AccessChecker, roles: &[&str], reviews: &[&str]) -> RequestState {
    let none = Traits::new();
    let (lead, plain) = (strings(&["lead"]), strings(&[]));
    let asked = strings(roles);
    let request = RequestUnderReview { requester: "ann", roles: &asked, reason: "ticket 7", annotations: &none };
    let reviews: Vec<Review<'_>> = reviews
        .iter()
        .map(|text| {
            let (sign, reviewer) = text.split_at(1);
            let roles = if reviewer.starts_with(char::is_uppercase) { &lead } else { &plain };
            Review { approves: sign == "+", reviewer, roles, traits: &none, reason: "", annotations: &none }
        })
        .collect();
    checker.request_terms(roles, false).unwrap().state(&reviews, &request)
}

#[test]
fn one_threshold_of_every_role_that_has_a_say_decides() {
    use RequestState::{Approved, Denied, Pending};
    let threshold =
        |filter: &str, approve, deny| AccessReviewThreshold { name: "t".into(), filter: filter.into(), approve, deny };
    let with = |name: &str, roles: &[&str], thresholds: &[AccessReviewThreshold]| {
        asking(name, AccessRequestConditions { thresholds: thresholds.to_vec(), ..for_roles(roles) })
    };
    let lead = r#"contains(reviewer.roles, "lead") && !equals(request.reason, "")"#;
    type Case<'a> = (&'a [Role], &'a [&'a str], &'a [&'a str], RequestState);
    let cases: &[Case<'_>] = &[
        (&[with("a", &["x"], &[])], &["x"], &[], Pending),
        (&[with("a", &["x"], &[])], &["x"], &["+bob"], Approved),
        (&[with("a", &["x"], &[])], &["x"], &["-bob"], Denied),
        // Nobody approves his own request, and nobody counts twice.
        (&[with("a", &["x"], &[])], &["x"], &["+ann"], Pending),
        (&[with("a", &["x"], &[threshold("", 2, 1)])], &["x"], &["+bob", "+bob"], Pending),
        (&[with("a", &["x"], &[threshold("", 2, 1)])], &["x"], &["+bob", "+eve"], Approved),
        (&[with("a", &["x"], &[threshold("", 2, 2)])], &["x"], &["+bob", "-eve", "+joe"], Approved),
        (&[with("a", &["x"], &[threshold("", 2, 1)])], &["x"], &["+bob", "-eve", "+joe"], Denied),
        (&[with("a", &["x"], &[threshold("", 1, 0)])], &["x"], &["-bob"], Pending),
        // Two, or one lead.
        (&[with("a", &["x"], &[threshold("", 2, 1), threshold(lead, 1, 1)])], &["x"], &["+Bob"], Approved),
        (&[with("a", &["x"], &[threshold("", 2, 1), threshold(lead, 1, 1)])], &["x"], &["+bob"], Pending),
        (&[with("a", &["x"], &[threshold(lead, 1, 1)])], &["x"], &["-bob"], Pending),
        // What cannot be evaluated approves nothing and denies.
        (&[with("a", &["x"], &[threshold("contains(", 1, 1)])], &["x"], &["+bob"], Pending),
        (&[with("a", &["x"], &[threshold("contains(", 1, 1)])], &["x"], &["-bob"], Denied),
        // Each role that is asked for, and each role that lets it be asked for, has its say.
        (&[with("a", &["x"], &[]), with("b", &["y"], &[threshold("", 2, 1)])], &["x", "y"], &["+bob"], Pending),
        (
            &[with("a", &["x"], &[]), with("b", &["y"], &[threshold("", 2, 1)])],
            &["x", "y"],
            &["+bob", "+eve"],
            Approved,
        ),
        (&[with("a", &["x"], &[]), with("b", &["x"], &[threshold(lead, 1, 1)])], &["x"], &["+bob"], Pending),
        (&[with("a", &["x"], &[]), with("b", &["x"], &[threshold(lead, 1, 1)])], &["x"], &["+bob", "+Eve"], Approved),
        (&[with("a", &["x"], &[threshold("", 2, 1)]), with("b", &["y"], &[])], &["x", "y"], &["+bob"], Pending),
        (&[with("a", &["x"], &[threshold(lead, 1, 1)]), with("b", &["x"], &[])], &["x"], &["+bob"], Pending),
    ];
    for (index, (roles, asked, reviews, expected)) in cases.iter().enumerate() {
        assert_eq!(state(&checker(roles.to_vec()), asked, reviews), *expected, "case {index}: {reviews:?}");
    }
}

#[test]
fn a_reviewer_must_be_allowed_every_role_of_a_request() {
    let reviewing = |part: AccessReviewConditions| role("reviewer", |spec| spec.allow.review_requests = Some(part));
    let part = AccessReviewConditions {
        roles: strings(&["prod-*"]),
        claims_to_roles: vec![claim("team", "red", &["red-admin"])],
        condition: r#"!equals(request.reason, "") && contains(request.system_annotations["team"], "red")"#.into(),
        preview_as_roles: strings(&["access", "secret-access"]),
        submit_for_users: strings(&["svc-*"]),
    };
    let no = role("no", |spec| {
        spec.deny.review_requests = Some(AccessReviewConditions {
            roles: strings(&["prod-root"]),
            preview_as_roles: strings(&["secret-*"]),
            ..Default::default()
        });
    });
    let reviewer = checker([reviewing(part), no]);
    let may = |requester: &str, roles: &[&str], reason: &str, team: &str| {
        let (roles, annotations) = (strings(roles), traits(&[("team", &[team])]));
        reviewer
            .check_review(&RequestUnderReview { requester, roles: &roles, reason, annotations: &annotations })
            .allowed
    };
    assert!(may("bob", &["prod-web", "red-admin"], "7", "red"));
    assert!(!may("bob", &["prod-web", "admin"], "7", "red"));
    assert!(!may("bob", &["prod-root"], "7", "red"));
    assert!(!may("bob", &["prod-web"], "", "red"));
    assert!(!may("bob", &["prod-web"], "7", "blue"));
    assert!(!may("bob", &[], "7", "red"));
    assert!(!may("ann", &["prod-web"], "7", "red"), "her own");
    let ask = |question: Question<'_>| reviewer.check(&question).allowed;
    assert!(ask(Question::PreviewAsRole("access")) && !ask(Question::PreviewAsRole("secret-access")));
    assert!(ask(Question::SubmitForUser("svc-ci")) && !ask(Question::SubmitForUser("bob")));
}
