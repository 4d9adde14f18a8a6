//! Newer documents in the form that older clients read.

use domain::resources::{
    Role,
    role::{KubernetesResource, RoleConditions},
};

/// Kinds of Kubernetes objects that v7 knows, each with its name in v8.
const KINDS_OF_V7: &[(&str, &str)] = &[
    ("pods", "pod"),
    ("secrets", "secret"),
    ("configmaps", "configmap"),
    ("namespaces", "namespace"),
    ("services", "service"),
    ("serviceaccounts", "serviceaccount"),
    ("nodes", "kube_node"),
    ("persistentvolumes", "persistentvolume"),
    ("persistentvolumeclaims", "persistentvolumeclaim"),
    ("deployments", "deployment"),
    ("replicasets", "replicaset"),
    ("statefulsets", "statefulset"),
    ("daemonsets", "daemonset"),
    ("clusterroles", "clusterrole"),
    ("roles", "kube_role"),
    ("clusterrolebindings", "clusterrolebinding"),
    ("rolebindings", "rolebinding"),
    ("cronjobs", "cronjob"),
    ("jobs", "job"),
    ("certificatesigningrequests", "certificatesigningrequest"),
    ("ingresses", "ingress"),
    ("*", "*"),
];

/// A role that a client who knows v7 at most can read. What v7 has no word for is left out, and the role says so in a label:
/// it is for looking at, and refused when it comes back.
pub(crate) fn role(mut role: Role) -> Role {
    if role.version_number() < 8 {
        return role;
    }
    role.version = "v7".to_owned();
    role.metadata.labels.insert(auth::roles::DOWNGRADED.to_owned(), "role v8 is shown as v7".to_owned());
    conditions(&mut role.spec.allow);
    conditions(&mut role.spec.deny);
    role
}

fn conditions(conditions: &mut RoleConditions) {
    let resources = std::mem::take(&mut conditions.kubernetes_resources);
    conditions.kubernetes_resources = resources.into_iter().filter_map(resource).collect();
    if let Some(request) = &mut conditions.request {
        request.kubernetes_resources.retain_mut(|resource| match kind_of_v7(&resource.kind) {
            Some(kind) => {
                kind.clone_into(&mut resource.kind);
                resource.api_group.clear();
                true
            }
            None => false,
        });
    }
}

fn resource(resource: KubernetesResource) -> Option<KubernetesResource> {
    let kind = kind_of_v7(&resource.kind)?.to_owned();
    Some(KubernetesResource { kind, api_group: String::new(), ..resource })
}

fn kind_of_v7(kind: &str) -> Option<&'static str> {
    KINDS_OF_V7.iter().find(|(newer, _)| *newer == kind).map(|(_, older)| *older)
}

#[cfg(test)]
mod tests {
    use domain::{Resource as _, resources::role::RoleSpec};

    use super::*;

    #[test]
    fn an_old_client_gets_a_v7_role_without_what_v7_has_no_word_for() {
        let of = |kind: &str, group: &str| KubernetesResource {
            kind: kind.into(),
            api_group: group.into(),
            namespace: "*".into(),
            name: "*".into(),
            verbs: vec!["*".into()],
        };
        let mut spec = RoleSpec::default();
        spec.allow.kubernetes_resources = vec![of("deployments", "apps"), of("widgets", "example.com"), of("*", "*")];
        let v8 = Role { version: "v8".into(), ..Role::new("k", spec) };
        v8.validate().unwrap();
        let shown = role(v8.clone());
        let kinds: Vec<_> = shown.spec.allow.kubernetes_resources.iter().map(|r| r.kind.as_str()).collect();
        assert_eq!((shown.version.as_str(), kinds), ("v7", vec!["deployment", "*"]));
        assert!(shown.metadata.labels.contains_key(auth::roles::DOWNGRADED));
        shown.validate().unwrap();
        let v7 = Role { version: "v7".into(), ..v8 };
        assert_eq!(role(v7.clone()), v7);
    }
}
