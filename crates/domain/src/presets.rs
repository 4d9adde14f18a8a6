//! The roles that every cluster begins with. They are ordinary roles: an administrator may change or delete them.

use crate::{
    Kind, Resource,
    form::Labels,
    metadata,
    resources::{
        Role,
        role::{
            KubernetesResource, McpPermissions, PortForwarding, RoleConditions, RoleOptions, RoleSpec, Rule,
            SshPortForwarding,
        },
    },
};

/// The full set of verbs on a kind that has no secrets of its own.
const FULL: [&str; 5] = ["list", "create", "read", "update", "delete"];
/// To look only.
const LOOK: [&str; 2] = ["list", "read"];

/// The preset roles, with defaults filled in.
#[must_use]
pub fn roles() -> Vec<Role> {
    vec![
        preset("access", "Access cluster resources", access()),
        preset("editor", "Edit cluster configuration", editor()),
        preset("auditor", "Review cluster events and replay sessions", auditor()),
        preset("terraform-provider", "Default Terraform provider role", terraform_provider()),
        preset("access-plugin", "Review and decide access requests as a plugin", access_plugin()),
        preset("list-access-request-resources", "List and search for resources to request", list_request_resources()),
        preset("wildcard-workload-identity-issuer", "Issue every workload identity", workload_identity_issuer()),
        preset("mcp-user", "Use the tools of MCP servers", mcp_user()),
    ]
}

fn preset(name: &str, description: &str, (options, allow): (RoleOptions, RoleConditions)) -> Role {
    let mut role = Role::new(name, RoleSpec { options, allow, deny: RoleConditions::default() });
    description.clone_into(&mut role.metadata.description);
    role.metadata.labels.insert(metadata::RESOURCE_TYPE.to_owned(), "preset".to_owned());
    role.set_defaults();
    role
}

fn text(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn rule<const N: usize>(kinds: &[Kind], verbs: [&str; N]) -> Rule {
    Rule::new(kinds.iter().map(|kind| kind.as_str()), verbs)
}

fn access() -> (RoleOptions, RoleConditions) {
    let forwarding = || Some(PortForwarding { enabled: Some(true) });
    let options = RoleOptions {
        forward_agent: true,
        enhanced_recording: text(&["command", "network"]),
        ssh_port_forwarding: Some(SshPortForwarding { local: forwarding(), remote: forwarding() }),
        ..RoleOptions::default()
    };
    let allow = RoleConditions {
        node_labels: Labels::wildcard(),
        app_labels: Labels::wildcard(),
        kubernetes_labels: Labels::wildcard(),
        db_labels: Labels::wildcard(),
        db_service_labels: Labels::wildcard(),
        windows_desktop_labels: Labels::wildcard(),
        logins: text(&["{{internal.logins}}"]),
        windows_desktop_logins: text(&["{{internal.windows_logins}}"]),
        kubernetes_groups: text(&["{{internal.kubernetes_groups}}"]),
        kubernetes_users: text(&["{{internal.kubernetes_users}}"]),
        db_users: text(&["{{internal.db_users}}"]),
        db_names: text(&["{{internal.db_names}}"]),
        db_roles: text(&["{{internal.db_roles}}"]),
        aws_role_arns: text(&["{{internal.aws_role_arns}}"]),
        azure_identities: text(&["{{internal.azure_identities}}"]),
        gcp_service_accounts: text(&["{{internal.gcp_service_accounts}}"]),
        kubernetes_resources: vec![KubernetesResource {
            kind: "*".into(),
            namespace: "*".into(),
            name: "*".into(),
            verbs: text(&["*"]),
            ..KubernetesResource::default()
        }],
        rules: vec![
            rule(&[Kind::Event], LOOK),
            rule(&[Kind::Session], LOOK).only_where("contains(session.participants, user.metadata.name)"),
            rule(&[Kind::Instance], LOOK),
        ],
        ..RoleConditions::default()
    };
    (options, allow)
}

fn editor() -> (RoleOptions, RoleConditions) {
    const EDITED: &[Kind] = &[
        Kind::User,
        Kind::Role,
        Kind::Bot,
        Kind::BotInstance,
        Kind::Token,
        Kind::Lock,
        Kind::Node,
        Kind::App,
        Kind::AppServer,
        Kind::SpiffeFederation,
        Kind::AuthConnector,
        Kind::Oidc,
        Kind::Saml,
        Kind::Github,
        Kind::OidcRequest,
        Kind::SamlRequest,
        Kind::GithubRequest,
        Kind::AuthPreference,
        Kind::NetworkingConfig,
        Kind::SessionRecordingConfig,
        Kind::UiConfig,
        Kind::TrustedCluster,
        Kind::RemoteCluster,
        Kind::AccessList,
        Kind::WorkloadIdentity,
        Kind::WorkloadIdentityX509Revocation,
        Kind::WorkloadIdentityX509IssuerOverride,
        Kind::SigstorePolicy,
        Kind::Installer,
        Kind::Integration,
        Kind::DiscoveryConfig,
        Kind::LoginRule,
        Kind::ClusterAlert,
        Kind::AutoUpdateConfig,
        Kind::AutoUpdateVersion,
        Kind::AccessMonitoringRule,
        Kind::VnetConfig,
        Kind::GitServer,
    ];
    let options = RoleOptions { forward_agent: true, ..RoleOptions::default() };
    let rules = vec![
        rule(EDITED, FULL),
        rule(&[Kind::Integration], ["use"]),
        rule(&[Kind::Device], ["list", "create", "read", "update", "delete", "enroll", "create_enroll_token"]),
        rule(&[Kind::WorkloadIdentityX509IssuerOverrideCsr], ["create"]),
        rule(&[Kind::CertAuthority], ["list", "readnosecrets"]),
        rule(&[Kind::Instance, Kind::Event, Kind::Notification, Kind::AutoUpdateAgentRollout], LOOK),
    ];
    (options, RoleConditions { rules, ..RoleConditions::default() })
}

fn auditor() -> (RoleOptions, RoleConditions) {
    let watched =
        [Kind::Session, Kind::Event, Kind::SessionTracker, Kind::BotInstance, Kind::Instance, Kind::Notification];
    let allow = RoleConditions {
        // A login that no host can have: an auditor opens no session.
        logins: text(&["no-login-6566121f-b602-47f1-a118-c9c618ee5aec"]),
        rules: vec![rule(&watched, LOOK)],
        ..RoleConditions::default()
    };
    (RoleOptions::default(), allow)
}

fn terraform_provider() -> (RoleOptions, RoleConditions) {
    const MANAGED: &[Kind] = &[
        Kind::AccessList,
        Kind::App,
        Kind::AuthPreference,
        Kind::Bot,
        Kind::Database,
        Kind::Device,
        Kind::Github,
        Kind::Installer,
        Kind::LoginRule,
        Kind::NetworkingConfig,
        Kind::Node,
        Kind::Oidc,
        Kind::Role,
        Kind::Saml,
        Kind::SessionRecordingConfig,
        Kind::Token,
        Kind::TrustedCluster,
        Kind::User,
        Kind::WorkloadIdentity,
        Kind::AccessMonitoringRule,
        Kind::AutoUpdateConfig,
        Kind::AutoUpdateVersion,
        Kind::DiscoveryConfig,
        Kind::Integration,
    ];
    let allow = RoleConditions {
        app_labels: Labels::wildcard(),
        db_labels: Labels::wildcard(),
        node_labels: Labels::wildcard(),
        rules: vec![rule(MANAGED, FULL)],
        ..RoleConditions::default()
    };
    (RoleOptions::default(), allow)
}

fn access_plugin() -> (RoleOptions, RoleConditions) {
    let rules = vec![
        rule(&[Kind::AccessRequest], ["list", "read", "update"]),
        Rule::new(["access_plugin_data"], ["update"]),
        rule(&[Kind::AccessList, Kind::User, Kind::Role, Kind::AccessMonitoringRule], LOOK),
    ];
    (RoleOptions::default(), RoleConditions { rules, ..RoleConditions::default() })
}

fn list_request_resources() -> (RoleOptions, RoleConditions) {
    let kinds = [
        Kind::Node,
        Kind::App,
        Kind::AppServer,
        Kind::Database,
        Kind::DatabaseServer,
        Kind::KubeCluster,
        Kind::KubeServer,
        Kind::WindowsDesktop,
        Kind::UserGroup,
    ];
    let allow = RoleConditions {
        node_labels: Labels::wildcard(),
        app_labels: Labels::wildcard(),
        kubernetes_labels: Labels::wildcard(),
        db_labels: Labels::wildcard(),
        windows_desktop_labels: Labels::wildcard(),
        group_labels: Labels::wildcard(),
        rules: vec![rule(&kinds, LOOK)],
        ..RoleConditions::default()
    };
    (RoleOptions::default(), allow)
}

fn workload_identity_issuer() -> (RoleOptions, RoleConditions) {
    let allow = RoleConditions {
        workload_identity_labels: Labels::wildcard(),
        rules: vec![rule(&[Kind::WorkloadIdentity], LOOK)],
        ..RoleConditions::default()
    };
    (RoleOptions::default(), allow)
}

fn mcp_user() -> (RoleOptions, RoleConditions) {
    let allow = RoleConditions {
        app_labels: Labels([("teleport.internal/app-sub-kind".to_owned(), text(&["mcp"]))].into()),
        mcp: Some(McpPermissions { tools: text(&["*"]) }),
        ..RoleConditions::default()
    };
    (RoleOptions::default(), allow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_survives_its_own_document() {
        for role in roles() {
            role.validate().unwrap_or_else(|why| panic!("{}: {why}", role.name()));
            let json = serde_json::to_string(&role).unwrap();
            let read = crate::document::read_valid_documents(&json, role.name()).unwrap();
            assert_eq!(read, [role.clone().into()]);
            assert_eq!(role.metadata.label(metadata::RESOURCE_TYPE), "preset");
        }
    }
}
