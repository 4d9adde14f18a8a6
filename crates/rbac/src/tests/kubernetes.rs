use domain::resources::role::KubernetesResource;
use proptest::prelude::*;

use super::*;
use crate::{KubernetesObject, Question};

fn entry(kind: &str, group: &str, namespace: &str, name: &str, verbs: &[&str]) -> KubernetesResource {
    KubernetesResource {
        kind: kind.into(),
        api_group: group.into(),
        namespace: namespace.into(),
        name: name.into(),
        verbs: strings(verbs),
    }
}

fn kube_role(version: &str, allow: &[KubernetesResource], deny: &[KubernetesResource]) -> Role {
    let mut role = role("r", |spec| {
        spec.allow.kubernetes_labels = selector(&[("env", &["dev"])]);
        spec.allow.kubernetes_resources = allow.to_vec();
        spec.deny.kubernetes_resources = deny.to_vec();
    });
    role.version = version.to_owned();
    role
}

/// An object written `group/kind namespace name verb`; `-` for no namespace, `?` for any.
fn object(text: &str) -> KubernetesObject<'_> {
    let mut words = text.split(' ');
    let (api_group, kind) = words.next().unwrap().split_once('/').unwrap();
    let known = |word| match word {
        "?" => None,
        "-" => Some(""),
        word => Some(word),
    };
    let (namespace, name) = (known(words.next().unwrap()), known(words.next().unwrap()));
    KubernetesObject { api_group, kind, namespace, name, verb: words.next().unwrap() }
}

fn may(checker: &AccessChecker, text: &str) -> bool {
    checker.check(&Question::Kubernetes(&labels(&[("env", "dev")]), object(text))).allowed
}

#[test]
fn an_entry_means_what_the_version_of_its_role_says() {
    type Case<'a> = (&'a str, KubernetesResource, &'a str, bool);
    let all = &["*"];
    let cases: &[Case<'_>] = &[
        // Up to v6 only pods are governed; everything else but namespaces is left to the groups.
        ("v6", entry("pod", "", "web", "api-*", all), "/pods web api-1 exec", true),
        ("v6", entry("pod", "", "web", "api-*", all), "/pods web db get", false),
        ("v6", entry("pod", "", "web", "api-*", all), "/pods dev api-1 get", false),
        ("v6", entry("pod", "", "web", "api-*", all), "/secrets dev x get", true),
        ("v6", entry("pod", "", "web", "api-*", all), "acme.io/widgets dev x get", true),
        ("v6", entry("pod", "", "web", "api-*", all), "/namespaces - web get", false),
        ("v6", entry("pod", "", "*", "*", all), "/namespaces - web delete", true),
        // v7: singular names, verbs, the namespace with all that is in it.
        ("v7", entry("pod", "", "web", "api-*", &["get", "list"]), "/pods web api-1 get", true),
        ("v7", entry("pod", "", "web", "api-*", &["get", "list"]), "/pods web api-1 delete", false),
        ("v7", entry("pod", "", "web", "api-*", all), "/secrets web api-1 get", false),
        ("v7", entry("pod", "", "web", "api-*", all), "acme.io/pods web api-1 get", false),
        ("v7", entry("pod", "", "^(web|dev)$", "*", all), "/pods dev x get", true),
        ("v7", entry("pod", "", "{{external.env}}", "*", all), "/pods staging x get", true),
        ("v7", entry("pod", "", "{{external.nothing}}", "*", all), "/pods  x get", false),
        ("v7", entry("pod", "", "web", "*", &[]), "/pods web x get", false),
        ("v7", entry("deployment", "", "web", "*", all), "apps/deployments web x get", true),
        ("v7", entry("deployment", "", "web", "*", all), "/deployments web x get", false),
        ("v7", entry("clusterrole", "", "", "admin", all), "rbac.authorization.k8s.io/clusterroles - admin get", true),
        (
            "v7",
            entry("clusterrole", "", "web", "admin", all),
            "rbac.authorization.k8s.io/clusterroles - admin get",
            true,
        ),
        ("v7", entry("kube_node", "", "", "n1", all), "/nodes - n2 get", false),
        ("v7", entry("namespace", "", "", "web", all), "/namespaces - web get", true),
        ("v7", entry("namespace", "", "", "web", all), "/namespaces web web get", true),
        ("v7", entry("namespace", "", "", "web", all), "/secrets web x get", true),
        ("v7", entry("namespace", "", "", "web", all), "acme.io/widgets web x get", true),
        ("v7", entry("namespace", "", "", "web", all), "/secrets dev x get", false),
        ("v7", entry("namespace", "", "", "*", all), "/nodes - n1 get", false),
        ("v7", entry("*", "", "*", "*", all), "/nodes - n1 get", true),
        ("v7", entry("*", "", "*", "*", all), "acme.io/widgets web x get", true),
        ("v7", entry("*", "", "web", "*", all), "acme.io/widgets web x get", true),
        ("v7", entry("*", "", "web", "*", all), "/nodes - n1 get", false),
        ("v7", entry("*", "", "web", "*", all), "/namespaces - web get", false),
        // v8: plural names with their group, and a namespace is no more than itself.
        ("v8", entry("pods", "", "web", "*", all), "/pods web x get", true),
        ("v8", entry("pods", "", "web", "*", all), "metrics.k8s.io/pods web x get", false),
        ("v8", entry("pods", "*", "web", "*", all), "metrics.k8s.io/pods web x get", true),
        ("v8", entry("deployments", "apps", "web", "*", all), "apps/deployments web x get", true),
        ("v8", entry("widgets", "*.acme.io", "web", "*", all), "v2.acme.io/widgets web x get", true),
        ("v8", entry("namespaces", "", "", "web", all), "/namespaces - web get", true),
        ("v8", entry("namespaces", "", "", "web", all), "/namespaces web web get", true),
        ("v8", entry("namespaces", "", "", "web", all), "/secrets web x get", false),
        ("v8", entry("*", "*", "", "*", all), "/nodes - n1 get", true),
        ("v8", entry("*", "*", "", "*", all), "/pods web x get", false),
        ("v8", entry("*", "*", "*", "*", all), "/pods web x get", true),
        ("v8", entry("nodes", "", "web", "*", all), "/nodes - n1 get", true),
        // A list is allowed if some of it may be seen.
        ("v7", entry("pod", "", "web", "api-*", &["list"]), "/pods web ? list", true),
        ("v7", entry("pod", "", "web", "api-*", &["list"]), "/pods ? ? list", true),
        ("v7", entry("pod", "", "web", "api-*", &["list"]), "/pods dev ? list", false),
        ("v8", entry("pods", "", "web", "api-*", &["list"]), "/pods ? ? watch", false),
    ];
    for (version, allow, asked, expected) in cases {
        let checker = checker([kube_role(version, std::slice::from_ref(allow), &[])]);
        assert_eq!(may(&checker, asked), *expected, "{version} {allow:?} asked for {asked}");
    }
}

#[test]
fn an_object_that_is_denied_is_denied_in_every_version() {
    let all = &["*"];
    for (version, deny, asked, denied) in [
        ("v6", entry("pod", "", "web", "*", all), "/pods web x get", true),
        ("v6", entry("pod", "", "web", "*", all), "/secrets web x get", false),
        ("v7", entry("namespace", "", "", "web", all), "/secrets web x get", true),
        ("v7", entry("secret", "", "*", "*", &["get"]), "/secrets web x list", false),
        ("v7", entry("secret", "", "*", "*", &[]), "/secrets web x list", true),
        ("v7", entry("pod", "", "*", "^($", all), "/pods web x get", true),
        ("v8", entry("nodes", "", "web", "*", all), "/nodes - n1 get", true),
        // Some of the list may still be seen.
        ("v7", entry("pod", "", "web", "db-*", all), "/pods web ? list", false),
        ("v7", entry("pod", "", "*", "*", all), "/pods web ? list", true),
        ("v7", entry("pod", "", "web", "*", all), "/pods ? ? list", false),
    ] {
        let everything = kube_role("v7", &[entry("*", "", "*", "*", all)], &[]);
        let mut denying = kube_role(version, &[], std::slice::from_ref(&deny));
        denying.metadata.name = "no".into();
        // It counts although its own labels reach nothing.
        denying.spec.allow.kubernetes_labels = Labels::default();
        assert_eq!(may(&checker([everything, denying]), asked), !denied, "{version} {deny:?} asked for {asked}");
    }
}

#[test]
fn what_a_role_says_about_objects_counts_where_it_reaches_the_cluster() {
    let mut red = kube_role("v8", &[entry("pods", "", "*", "*", &["*"])], &[]);
    red.metadata.name = "red".into();
    let mut blue =
        kube_role("v8", &[entry("secrets", "", "*", "*", &["get"])], &[entry("pods", "", "*", "db", &["*"])]);
    blue.metadata.name = "blue".into();
    blue.spec.allow.kubernetes_labels = selector(&[("env", &["prod"])]);
    let both = checker([red, blue]);
    let (dev, prod) = (labels(&[("env", "dev")]), labels(&[("env", "prod")]));
    let ask = |labels, text| both.check(&Question::Kubernetes(labels, object(text))).allowed;
    assert!(ask(&dev, "/pods web x get") && !ask(&prod, "/pods web x get"));
    assert!(ask(&prod, "/secrets web x get") && !ask(&dev, "/secrets web x get"));
    assert!(!ask(&dev, "/pods web db get"));
    insta::assert_snapshot!(both.explain(&Question::Kubernetes(&dev, object("/secrets web x get"))).to_string(), @r#"
    denied: get of secrets "web/x" in this kubernetes is not allowed by any of the roles red, blue
      role "red", spec.allow.kubernetes_resources[0]: does not apply
      role "blue", spec.deny.kubernetes_resources[0]: does not apply
      role "blue", spec.allow.kubernetes_labels: does not apply
    "#);
}

fn any_entry() -> impl Strategy<Value = KubernetesResource> {
    let place = || prop::sample::select(vec!["", "*", "web", "w*", "^w.b$", "^("]);
    let kind = prop::sample::select(vec!["*", "pods", "pod", "namespace", "namespaces", "nodes", "widgets"]);
    let group = prop::sample::select(vec!["", "*", "acme.io"]);
    let verbs = prop::sample::subsequence(vec!["get", "list", "*"], 0..=3);
    (kind, group, place(), place(), verbs)
        .prop_map(|(kind, group, namespace, name, verbs)| entry(kind, group, namespace, name, &verbs))
}

proptest! {
    #[test]
    fn an_entry_in_deny_takes_at_least_what_it_would_give_in_allow(
        version in prop::sample::select(vec!["v7", "v8"]), one in any_entry(),
        kind in prop::sample::select(vec!["/pods", "/namespaces", "/nodes", "acme.io/widgets"]),
        place in prop::sample::select(vec!["-", "web", "dev"]), name in prop::sample::select(vec!["web", "x"]),
        verb in prop::sample::select(vec!["get", "delete"]),
    ) {
        let asked = format!("{kind} {place} {name} {verb}");
        if may(&checker([kube_role(version, std::slice::from_ref(&one), &[])]), &asked) {
            let both = checker([kube_role(version, std::slice::from_ref(&one), std::slice::from_ref(&one))]);
            prop_assert!(!may(&both, &asked));
        }
    }

    #[test]
    fn a_list_is_allowed_where_an_object_of_it_is(one in any_entry(), name in prop::sample::select(vec!["web", "x"])) {
        let checker = checker([kube_role("v8", &[one], &[])]);
        if may(&checker, &format!("/pods web {name} list")) {
            prop_assert!(may(&checker, "/pods web ? list") && may(&checker, "/pods ? ? list"));
        }
    }
}
