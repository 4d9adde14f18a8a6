//! `kubernetes_resources`: what each version of the role allows to be written there.

use super::{
    KubernetesResource, RequestKubernetesResource, RoleConditions,
    validate::{check_pattern, invalid},
};
use crate::Error;

const VERBS: &[&str] =
    &["get", "create", "update", "patch", "delete", "list", "watch", "deletecollection", "exec", "portforward", "*"];

/// The kinds of v7: singular name, plural name, API group, whether objects live in a namespace.
const KINDS: &[(&str, &str, &str, bool)] = &[
    ("pod", "pods", "", true),
    ("secret", "secrets", "", true),
    ("configmap", "configmaps", "", true),
    ("namespace", "namespaces", "", false),
    ("service", "services", "", true),
    ("serviceaccount", "serviceaccounts", "", true),
    ("kube_node", "nodes", "", false),
    ("persistentvolume", "persistentvolumes", "", false),
    ("persistentvolumeclaim", "persistentvolumeclaims", "", true),
    ("deployment", "deployments", "apps", true),
    ("replicaset", "replicasets", "apps", true),
    ("statefulset", "statefulsets", "apps", true),
    ("daemonset", "daemonsets", "apps", true),
    ("clusterrole", "clusterroles", "rbac.authorization.k8s.io", false),
    ("kube_role", "roles", "rbac.authorization.k8s.io", true),
    ("clusterrolebinding", "clusterrolebindings", "rbac.authorization.k8s.io", false),
    ("rolebinding", "rolebindings", "rbac.authorization.k8s.io", true),
    ("cronjob", "cronjobs", "batch", true),
    ("job", "jobs", "batch", true),
    ("certificatesigningrequest", "certificatesigningrequests", "certificates.k8s.io", false),
    ("ingress", "ingresses", "networking.k8s.io", true),
];

/// The name that roles of v7 have for a kind of Kubernetes, which has the plural name; none for kinds that are no part of
/// Kubernetes itself.
#[must_use]
pub fn singular_of(api_group: &str, plural: &str) -> Option<&'static str> {
    KINDS.iter().find(|(_, name, group, _)| *name == plural && *group == api_group).map(|(singular, ..)| *singular)
}

/// Whether objects of a kind live in no namespace, as far as the kind is known by either of its names.
#[must_use]
pub fn is_cluster_wide(kind: &str) -> bool {
    KINDS.iter().any(|(singular, plural, _, is_namespaced)| !is_namespaced && (*singular == kind || *plural == kind))
}

pub(super) fn check(path: &str, conditions: &RoleConditions, version: u8) -> Result<(), Error> {
    for (index, resource) in conditions.kubernetes_resources.iter().enumerate() {
        let path = format!("{path}.kubernetes_resources[{index}]");
        match version {
            8.. => check_v8(&path, resource)?,
            7 => check_v7(&path, resource)?,
            _ => check_v6(&path, resource)?,
        }
        if resource.name.is_empty() {
            return invalid(&format!("{path}.name"), "must be set, \"*\" for all");
        }
        check_verbs(&format!("{path}.verbs"), &resource.verbs)?;
        for (key, value) in [
            ("kind", &resource.kind),
            ("api_group", &resource.api_group),
            ("namespace", &resource.namespace),
            ("name", &resource.name),
        ] {
            check_pattern(&format!("{path}.{key}"), value)?;
        }
    }
    for (index, resource) in
        conditions.request.iter().flat_map(|request| request.kubernetes_resources.iter().enumerate())
    {
        check_request(&format!("{path}.request.kubernetes_resources[{index}]"), resource, version)?;
    }
    Ok(())
}

/// What may be asked for: a kind, without saying which of its objects.
fn check_request(path: &str, resource: &RequestKubernetesResource, version: u8) -> Result<(), Error> {
    let anything = KubernetesResource {
        kind: resource.kind.clone(),
        namespace: "*".to_owned(),
        name: "*".to_owned(),
        verbs: vec!["*".to_owned()],
        api_group: resource.api_group.clone(),
    };
    match version {
        8.. => check_v8(path, &anything),
        7 => check_v7(path, &anything),
        _ => check_v6(path, &anything),
    }
}

fn check_verbs(path: &str, verbs: &[String]) -> Result<(), Error> {
    for verb in verbs {
        if !VERBS.contains(&verb.as_str()) && !verb.contains("{{") {
            return invalid(path, &format!("must be among {}, found {verb:?}", VERBS.join(", ")));
        }
        if verb == "*" && verbs.len() > 1 {
            return invalid(path, "\"*\" stands alone");
        }
    }
    Ok(())
}

fn check_v6(path: &str, resource: &KubernetesResource) -> Result<(), Error> {
    if resource.kind != "pod" {
        return invalid(
            &format!("{path}.kind"),
            &format!("must be \"pod\" before role version v7, found {:?}", resource.kind),
        );
    }
    if resource.verbs.iter().any(|verb| verb != "*") {
        return invalid(&format!("{path}.verbs"), "must be [\"*\"] before role version v7");
    }
    check_old(path, resource)
}

fn check_v7(path: &str, resource: &KubernetesResource) -> Result<(), Error> {
    let known = KINDS.iter().find(|(singular, ..)| *singular == resource.kind);
    if known.is_none() && resource.kind != "*" {
        let kinds: Vec<&str> = KINDS.iter().map(|(singular, ..)| *singular).collect();
        return invalid(
            &format!("{path}.kind"),
            &format!("must be * or one of {}, found {:?}", kinds.join(", "), resource.kind),
        );
    }
    if known.is_none_or(|(.., is_namespaced)| *is_namespaced) && resource.namespace.is_empty() {
        return invalid(&format!("{path}.namespace"), "must be set, \"*\" for all");
    }
    check_old(path, resource)
}

fn check_old(path: &str, resource: &KubernetesResource) -> Result<(), Error> {
    match resource.api_group.as_str() {
        "" => Ok(()),
        _ => invalid(&format!("{path}.api_group"), "needs a role of version v8"),
    }
}

fn check_v8(path: &str, resource: &KubernetesResource) -> Result<(), Error> {
    if resource.kind.is_empty() {
        return invalid(&format!("{path}.kind"), "must be set to a plural name such as \"pods\", \"*\" for all");
    }
    let singular = KINDS.iter().find(|(singular, ..)| *singular == resource.kind);
    if let Some((_, plural, group, _)) = singular
        && (resource.api_group == "*" || resource.api_group == *group)
    {
        return invalid(&format!("{path}.kind"), &format!("use the plural name {plural:?} in a role of version v8"));
    }
    let known = KINDS.iter().find(|(_, plural, group, _)| {
        *plural == resource.kind && (*group == resource.api_group || resource.api_group == "*")
    });
    if resource.api_group.is_empty() && known.is_none() {
        return invalid(&format!("{path}.api_group"), "must be set, \"*\" for all; only core kinds do without");
    }
    if known.is_some_and(|(.., is_namespaced)| *is_namespaced) && resource.namespace.is_empty() {
        return invalid(&format!("{path}.namespace"), "must be set, \"*\" for all");
    }
    Ok(())
}
