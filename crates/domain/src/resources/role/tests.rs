//! Every field of a role, in every version.

use serde_json::{Value, json};

use super::*;
use crate::{Resource as _, document::read_valid_documents, form::is_default, resources::Role};

const EVERY_FIELD: &str = include_str!("every_field.yaml");

/// Names every field of a struct, so that a new one does not compile before the fixture has it, and checks that the fixture
/// says something there that is not the default.
macro_rules! every_field {
    ($value:expr, $type:ident { $($field:ident),+ $(,)? } $(but $($same:ident),+)?) => {{
        let $type { $($field,)+ $($($same: _),+)? } = $value;
        $(assert!(!is_default($field), "{}.{}", stringify!($type), stringify!($field));)+
    }};
}

fn check_options(options: &RoleOptions) {
    every_field!(
        options,
        RoleOptions {
            forward_agent,
            max_session_ttl,
            port_forwarding,
            cert_format,
            client_idle_timeout,
            disconnect_expired_cert,
            enhanced_recording,
            permit_x11_forwarding,
            max_connections,
            max_sessions,
            request_access,
            request_prompt,
            lock,
            record_session,
            desktop_clipboard,
            cert_extensions,
            max_kubernetes_connections,
            desktop_directory_sharing,
            create_host_user,
            pin_source_ip,
            ssh_file_copy,
            require_session_mfa,
            device_trust_mode,
            idp,
            create_desktop_user,
            create_db_user,
            create_host_user_mode,
            create_db_user_mode,
            mfa_verification_interval,
            create_host_user_default_shell,
            ssh_port_forwarding,
            web_terminal_clipboard_mode,
        }
    );
    every_field!(options.record_session.as_ref().unwrap(), RecordSession { desktop, default, ssh });
    every_field!(&options.cert_extensions[0], CertExtension { name, value } but extension_type, mode);
    every_field!(options.idp.as_ref().unwrap(), IdpOptions { saml });
    every_field!(options.ssh_port_forwarding.as_ref().unwrap(), SshPortForwarding { local, remote });
}

fn check_conditions(conditions: &RoleConditions) {
    every_field!(
        conditions,
        RoleConditions {
            logins,
            namespaces,
            node_labels,
            rules,
            kubernetes_groups,
            request,
            kubernetes_users,
            app_labels,
            cluster_labels,
            kubernetes_labels,
            db_labels,
            db_names,
            db_users,
            impersonate,
            review_requests,
            aws_role_arns,
            windows_desktop_logins,
            windows_desktop_labels,
            require_session_join,
            join_sessions,
            host_groups,
            host_sudoers,
            azure_identities,
            kubernetes_resources,
            gcp_service_accounts,
            db_service_labels,
            group_labels,
            desktop_groups,
            db_roles,
            node_labels_expression,
            app_labels_expression,
            cluster_labels_expression,
            kubernetes_labels_expression,
            db_labels_expression,
            db_service_labels_expression,
            windows_desktop_labels_expression,
            group_labels_expression,
            db_permissions,
            spiffe,
            account_assignments,
            github_permissions,
            workload_identity_labels,
            workload_identity_labels_expression,
            mcp,
        }
    );
    every_field!(&conditions.rules[0], Rule { resources, verbs, condition, actions });
    every_field!(conditions.impersonate.as_ref().unwrap(), ImpersonateConditions { users, roles } but condition);
    let request = conditions.request.as_ref().unwrap();
    every_field!(
        request,
        AccessRequestConditions {
            roles,
            claims_to_roles,
            annotations,
            thresholds,
            suggested_reviewers,
            search_as_roles,
            max_duration,
            kubernetes_resources,
            reason,
        }
    );
    every_field!(&request.claims_to_roles[0], ClaimMapping { claim, value, roles });
    every_field!(&request.thresholds[0], AccessReviewThreshold { name, filter, approve, deny });
    every_field!(&request.kubernetes_resources[0], RequestKubernetesResource { kind } but api_group);
    every_field!(request.reason.as_ref().unwrap(), AccessRequestReason { mode, prompt });
    every_field!(
        conditions.review_requests.as_ref().unwrap(),
        AccessReviewConditions { roles, claims_to_roles, condition, preview_as_roles, submit_for_users }
    );
    every_field!(
        &conditions.require_session_join[0],
        SessionRequirePolicy { name, filter, kinds, count, modes, on_leave }
    );
    every_field!(&conditions.join_sessions[0], SessionJoinPolicy { name, roles, kinds, modes });
    every_field!(&conditions.kubernetes_resources[0], KubernetesResource { kind, namespace, name, verbs } but api_group);
    every_field!(&conditions.db_permissions[0], DatabasePermission { permissions, r#match });
    every_field!(&conditions.spiffe[0], SpiffeCondition { path, dns_sans, ip_sans });
    every_field!(&conditions.account_assignments[0], AccountAssignment { permission_set, account });
    every_field!(&conditions.github_permissions[0], GithubPermission { orgs });
    every_field!(conditions.mcp.as_ref().unwrap(), McpPermissions { tools });
}

/// The fixture as a document of a version, in which `kubernetes_resources` are written as that version wants it.
fn as_version(version: &str) -> Value {
    let mut document: Value = serde_saphyr::from_str_with_options(
        EVERY_FIELD,
        serde_saphyr::options! { merge_keys: serde_saphyr::MergeKeyPolicy::Merge },
    )
    .unwrap();
    document["version"] = version.into();
    document["spec"]["allow"]["impersonate"]["where"] = r#"equals(impersonate_role.metadata.labels["a"], "b")"#.into();
    let (entry, kind) = match version {
        "v8" => return document,
        "v7" => (json!({"kind": "deployment", "verbs": ["get", "list"]}), "pod"),
        _ => (json!({"kind": "pod", "verbs": ["*"]}), "pod"),
    };
    for side in ["allow", "deny"] {
        let mut resource = entry.clone();
        resource["namespace"] = "web-*".into();
        resource["name"] = "api".into();
        document["spec"][side]["kubernetes_resources"] = json!([resource]);
        document["spec"][side]["request"]["kubernetes_resources"] = json!([{"kind": kind}]);
    }
    document
}

#[test]
fn every_field_survives_in_every_version() {
    for version in Role::VERSIONS {
        let mut written = as_version(version);
        let read = read_valid_documents(&written.to_string(), version).unwrap_or_else(|why| panic!("{why}"));
        let [crate::AnyResource::Role(role)] = read.as_slice() else { panic!("not one role") };
        check_options(&role.spec.options);
        check_conditions(&role.spec.allow);
        check_conditions(&role.spec.deny);

        // There are no namespaces any more: they are read and not written.
        for side in ["allow", "deny"] {
            written["spec"][side].as_object_mut().unwrap().remove("namespaces");
        }
        let printed = serde_json::to_value(role).unwrap();
        assert_eq!(printed, written, "{version}");
        let again = read_valid_documents(&printed.to_string(), version).unwrap();
        assert_eq!(serde_json::to_value(&again[0]).unwrap(), printed, "{version}");

        let stored = crate::Stored::new(role.clone());
        let bytes = stored.encode().unwrap();
        let mut kept = crate::Stored::<Role>::decode(&bytes).unwrap().value;
        kept.spec.allow.namespaces.clone_from(&role.spec.allow.namespaces);
        kept.spec.deny.namespaces.clone_from(&role.spec.deny.namespaces);
        assert_eq!(&kept, role, "{version}");
    }
}

#[test]
fn what_could_never_hold_is_refused() {
    let refused = |side: &str, text: &str| {
        let document = format!("{{kind: role, version: v7, metadata: {{name: a}}, spec: {{{side}: {text}}}}}");
        read_valid_documents(&document, "test")
            .map_or_else(|why| why.summary(), |_| format!("{side}: {text} is accepted"))
    };
    for (side, text, message) in [
        ("allow", "{logins: ['*']}", "spec.allow.logins: \"*\" is not allowed here"),
        ("allow", "{aws_role_arns: ['*']}", "spec.allow.aws_role_arns"),
        ("allow", "{azure_identities: ['*']}", "spec.allow.azure_identities"),
        ("allow", "{gcp_service_accounts: ['*']}", "spec.allow.gcp_service_accounts"),
        ("allow", "{db_roles: ['*']}", "spec.allow.db_roles"),
        ("allow", "{db_users: ['^($']}", "spec.allow.db_users"),
        ("allow", "{mcp: {tools: ['^($']}}", "spec.allow.mcp.tools"),
        ("deny", "{github_permissions: [{orgs: ['^($']}]}", "spec.deny.github_permissions.orgs"),
        ("allow", "{db_permissions: [{permissions: ['*'], match: {'*': '*'}}]}", "\"*\" is only for deny"),
        ("deny", "{db_permissions: [{permissions: [], match: {'*': '*'}}]}", "at least one permission"),
        ("deny", "{db_permissions: [{permissions: [SELECT]}]}", "spec.deny.db_permissions[0].match: must be set"),
        ("deny", "{db_permissions: [{permissions: [SELECT], match: {'*': a}}]}", "can only have the value"),
        ("allow", "{impersonate: {users: [a]}}", "spec.allow.impersonate.roles: must be set beside users"),
        ("deny", "{impersonate: {roles: [a], where: 'equals(\"a\", \"a\")'}}", "spec.deny.impersonate.where"),
        ("allow", "{spiffe: [{path: svc}]}", "spec.allow.spiffe[0].path: must begin with /"),
        ("allow", "{spiffe: [{path: ^/svc}]}", "spec.allow.spiffe[0].path"),
        ("allow", "{spiffe: [{path: '^/(svc$'}]}", "spec.allow.spiffe[0].path"),
        ("allow", "{spiffe: [{path: /a, ip_sans: [10.0.0.1]}]}", "spec.allow.spiffe[0].ip_sans: must be ranges"),
        ("allow", "{request: {thresholds: [{name: a}]}}", "spec.allow.request.thresholds[0]: approve or deny"),
        ("allow", "{request: {thresholds: [{approve: 1, filter: 'contains('}]}}", "thresholds[0].filter"),
        ("allow", "{request: {reason: {mode: maybe}}}", "spec.allow.request.reason.mode: must be one of"),
        ("allow", "{request: {claims_to_roles: [{claim: a}]}}", "must have claim, value and roles"),
        ("allow", "{request: {roles: ['^($']}}", "spec.allow.request.roles"),
        ("allow", "{request: {kubernetes_resources: [{kind: pods}]}}", "request.kubernetes_resources[0].kind"),
        ("allow", "{request: {kubernetes_resources: [{kind: pod, api_group: a}]}}", "needs a role of version v8"),
        ("allow", "{review_requests: {where: 'contains(user.spec.roles, \"a\")'}}", "spec.allow.review_requests.where"),
        ("allow", "{require_session_join: [{kinds: [ssh]}]}", "spec.allow.require_session_join[0].modes"),
        ("allow", "{require_session_join: [{kinds: [shh], modes: [peer]}]}", "must be one of ssh"),
        ("allow", "{require_session_join: [{kinds: [ssh], modes: [peer], count: -1}]}", "must not be negative"),
        (
            "allow",
            "{require_session_join: [{kinds: [ssh], modes: [peer], on_leave: stay}]}",
            "on_leave: must be one of",
        ),
        ("allow", "{require_session_join: [{kinds: [ssh], modes: [peer], filter: 'x'}]}", "[0].filter"),
        ("deny", "{join_sessions: [{kinds: [ssh], modes: [peer]}]}", "spec.deny.join_sessions[0].roles"),
        ("deny", "{join_sessions: [{roles: [a], kinds: [ssh], modes: [per]}]}", "spec.deny.join_sessions[0].modes"),
        (
            "deny",
            "{kubernetes_resources: [{kind: pod, namespace: '^($', name: a}]}",
            "kubernetes_resources[0].namespace",
        ),
    ] {
        let shown = refused(side, text);
        assert!(shown.contains(message), "{side} {text}\nshows {shown}\nwithout {message}");
    }
}
