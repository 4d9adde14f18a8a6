//! Roles.

use domain::resources::role::{
    AccessRequestConditions, AccessRequestReason, AccessReviewConditions, AccessReviewThreshold, AccountAssignment,
    CertExtension, CertExtensionMode, CertExtensionType, ClaimMapping, CreateDatabaseUserMode, CreateHostUserMode,
    DatabasePermission, GithubPermission, IdpOptions, IdpSamlOptions, ImpersonateConditions, KubernetesResource,
    McpPermissions, PortForwarding, RecordSession, RequestKubernetesResource, RequireMfa, Role, RoleConditions,
    RoleOptions, RoleSpec, Rule, SessionJoinPolicy, SessionRequirePolicy, SpiffeCondition, SshPortForwarding,
    WebTerminalClipboardMode,
};

use super::wire::{message, numbers, resource};
use crate::r#gen::types;

message! {
    RoleOptions => types::RoleOptions {
        forward_agent, max_session_ttl, port_forwarding, cert_format = certificate_format,
        client_idle_timeout, disconnect_expired_cert, enhanced_recording = bpf, permit_x11_forwarding,
        max_connections, max_sessions, request_access, request_prompt, lock, record_session,
        desktop_clipboard, cert_extensions, max_kubernetes_connections, desktop_directory_sharing,
        create_host_user, pin_source_ip, ssh_file_copy, require_session_mfa = require_mfa_type,
        device_trust_mode, idp, create_desktop_user, create_db_user = create_database_user,
        create_host_user_mode, create_db_user_mode = create_database_user_mode, mfa_verification_interval,
        create_host_user_default_shell, ssh_port_forwarding, web_terminal_clipboard_mode
    }
    RecordSession => types::RecordSession {
        desktop, default, ssh
    }
    CertExtension => types::CertExtension {
        extension_type = r#type, mode, name, value
    }
    IdpOptions => types::IdPOptions {
        saml
    }
    IdpSamlOptions => types::IdPsamlOptions {
        enabled
    }
    SshPortForwarding => types::SshPortForwarding {
        local, remote
    }
    RoleConditions => types::RoleConditions {
        logins, namespaces, node_labels, rules, kubernetes_groups = kube_groups, request, kubernetes_users =
        kube_users, app_labels, cluster_labels, kubernetes_labels, db_labels = database_labels, db_names =
        database_names, db_users = database_users, impersonate, review_requests, aws_role_arns =
        aws_role_ar_ns, windows_desktop_logins, windows_desktop_labels, require_session_join, join_sessions,
        host_groups, host_sudoers, azure_identities, kubernetes_resources, gcp_service_accounts,
        db_service_labels = database_service_labels, group_labels, desktop_groups, db_roles =
        database_roles, node_labels_expression, app_labels_expression, cluster_labels_expression,
        kubernetes_labels_expression, db_labels_expression = database_labels_expression,
        db_service_labels_expression = database_service_labels_expression,
        windows_desktop_labels_expression, group_labels_expression, db_permissions = database_permissions,
        spiffe, account_assignments, github_permissions = git_hub_permissions, workload_identity_labels,
        workload_identity_labels_expression, mcp
    }
    Rule => types::Rule {
        resources, verbs, condition = r#where, actions
    }
    AccessRequestConditions => types::AccessRequestConditions {
        roles, claims_to_roles, annotations, thresholds, suggested_reviewers, search_as_roles, max_duration,
        kubernetes_resources, reason
    }
    ClaimMapping => types::ClaimMapping {
        claim, value, roles
    }
    AccessReviewThreshold => types::AccessReviewThreshold {
        name, filter, approve, deny
    }
    RequestKubernetesResource => types::RequestKubernetesResource {
        kind, api_group
    }
    AccessRequestReason => types::AccessRequestConditionsReason {
        mode, prompt
    }
    ImpersonateConditions => types::ImpersonateConditions {
        users, roles, condition = r#where
    }
    AccessReviewConditions => types::AccessReviewConditions {
        roles, claims_to_roles, condition = r#where, preview_as_roles, submit_for_users
    }
    SessionRequirePolicy => types::SessionRequirePolicy {
        name, filter, kinds, count, modes, on_leave
    }
    SessionJoinPolicy => types::SessionJoinPolicy {
        name, roles, kinds, modes
    }
    KubernetesResource => types::KubernetesResource {
        kind, namespace, name, verbs, api_group
    }
    DatabasePermission => types::DatabasePermission {
        permissions, r#match
    }
    SpiffeCondition => types::SpiffeRoleCondition {
        path, dns_sans = dnssa_ns, ip_sans = ipsa_ns
    }
    AccountAssignment => types::IdentityCenterAccountAssignment {
        permission_set, account
    }
    GithubPermission => types::GitHubPermission {
        orgs = organizations
    }
    McpPermissions => types::McpPermissions {
        tools
    }
    RoleSpec => types::RoleSpecV6 {
        options, allow, deny
    }
    PortForwarding => types::SshLocalPortForwarding {
        enabled
    }
    PortForwarding => types::SshRemotePortForwarding {
        enabled
    }
}

numbers!(
    CertExtensionMode,
    CertExtensionType,
    CreateDatabaseUserMode,
    CreateHostUserMode,
    RequireMfa,
    WebTerminalClipboardMode,
);
resource!(Role => types::RoleV6);
