//! `spec.allow` and `spec.deny` of a role.

use std::{collections::BTreeMap, time::Duration};

use crate::form::{Labels, duration};

document! {
    /// What is allowed, or denied.
    pub struct RoleConditions {
        logins: Vec<String>,
        /// Read from old documents; there are no namespaces any more.
        #[serde(skip_serializing)]
        +namespaces: Vec<String>,
        node_labels: Labels,
        rules: Vec<Rule>,
        kubernetes_groups: Vec<String>,
        request: Option<AccessRequestConditions>,
        kubernetes_users: Vec<String>,
        app_labels: Labels,
        cluster_labels: Labels,
        kubernetes_labels: Labels,
        db_labels: Labels,
        db_names: Vec<String>,
        db_users: Vec<String>,
        impersonate: Option<ImpersonateConditions>,
        review_requests: Option<AccessReviewConditions>,
        aws_role_arns: Vec<String>,
        windows_desktop_logins: Vec<String>,
        windows_desktop_labels: Labels,
        require_session_join: Vec<SessionRequirePolicy>,
        join_sessions: Vec<SessionJoinPolicy>,
        host_groups: Vec<String>,
        host_sudoers: Vec<String>,
        azure_identities: Vec<String>,
        kubernetes_resources: Vec<KubernetesResource>,
        gcp_service_accounts: Vec<String>,
        db_service_labels: Labels,
        group_labels: Labels,
        desktop_groups: Vec<String>,
        db_roles: Vec<String>,
        node_labels_expression: String,
        app_labels_expression: String,
        cluster_labels_expression: String,
        kubernetes_labels_expression: String,
        db_labels_expression: String,
        db_service_labels_expression: String,
        windows_desktop_labels_expression: String,
        group_labels_expression: String,
        db_permissions: Vec<DatabasePermission>,
        /// Legacy; workload identities use `workload_identity_labels`.
        spiffe: Vec<SpiffeCondition>,
        account_assignments: Vec<AccountAssignment>,
        github_permissions: Vec<GithubPermission>,
        workload_identity_labels: Labels,
        workload_identity_labels_expression: String,
        mcp: Option<McpPermissions>,
    }
}

document! {
    /// Verbs on kinds of resources of the cluster itself.
    pub struct Rule {
        resources: Vec<String>,
        verbs: Vec<String>,
        #[serde(rename = "where")]
        condition: String,
        actions: Vec<String>,
    }
}

impl Rule {
    /// A rule without a condition.
    pub fn new<'a>(resources: impl IntoIterator<Item = &'a str>, verbs: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            resources: resources.into_iter().map(ToOwned::to_owned).collect(),
            verbs: verbs.into_iter().map(ToOwned::to_owned).collect(),
            ..Self::default()
        }
    }

    /// The same rule under a condition.
    #[must_use]
    pub fn only_where(mut self, condition: &str) -> Self {
        condition.clone_into(&mut self.condition);
        self
    }
}

document! {
    /// Which access may be asked for.
    pub struct AccessRequestConditions {
        roles: Vec<String>,
        claims_to_roles: Vec<ClaimMapping>,
        annotations: BTreeMap<String, Vec<String>>,
        thresholds: Vec<AccessReviewThreshold>,
        suggested_reviewers: Vec<String>,
        search_as_roles: Vec<String>,
        #[serde(with = "duration::go")]
        max_duration: Duration,
        kubernetes_resources: Vec<RequestKubernetesResource>,
        reason: Option<AccessRequestReason>,
    }
}

document! {
    /// A claim of an identity provider, and the roles that it gives.
    pub struct ClaimMapping {
        +claim: String,
        +value: String,
        roles: Vec<String>,
    }
}

document! {
    /// How many approvals and denials decide.
    pub struct AccessReviewThreshold {
        name: String,
        filter: String,
        approve: u32,
        deny: u32,
    }
}

document! {
    /// A kind of Kubernetes object that may be asked for.
    pub struct RequestKubernetesResource {
        kind: String,
        api_group: String,
    }
}

document! {
    /// Whether a request needs a reason.
    pub struct AccessRequestReason {
        mode: String,
        prompt: String,
    }
}

document! {
    /// Which users and roles may be impersonated.
    pub struct ImpersonateConditions {
        users: Vec<String>,
        roles: Vec<String>,
        #[serde(rename = "where")]
        condition: String,
    }
}

document! {
    /// Which requests may be reviewed.
    pub struct AccessReviewConditions {
        roles: Vec<String>,
        claims_to_roles: Vec<ClaimMapping>,
        #[serde(rename = "where")]
        condition: String,
        preview_as_roles: Vec<String>,
        submit_for_users: Vec<String>,
    }
}

document! {
    /// Who must be present in a session.
    pub struct SessionRequirePolicy {
        +name: String,
        +filter: String,
        +kinds: Vec<String>,
        +count: i32,
        +modes: Vec<String>,
        +on_leave: String,
    }
}

document! {
    /// Whose sessions may be joined.
    pub struct SessionJoinPolicy {
        +name: String,
        +roles: Vec<String>,
        +kinds: Vec<String>,
        +modes: Vec<String>,
    }
}

document! {
    /// Kubernetes objects and what may be done with them.
    pub struct KubernetesResource {
        kind: String,
        namespace: String,
        name: String,
        verbs: Vec<String>,
        api_group: String,
    }
}

document! {
    /// Permissions on database objects.
    pub struct DatabasePermission {
        +permissions: Vec<String>,
        +r#match: Labels,
    }
}

document! {
    /// SPIFFE ids that may be asked for.
    pub struct SpiffeCondition {
        path: String,
        dns_sans: Vec<String>,
        ip_sans: Vec<String>,
    }
}

document! {
    /// An assignment at AWS Identity Center.
    pub struct AccountAssignment {
        permission_set: String,
        account: String,
    }
}

document! {
    /// GitHub organizations that may be reached.
    pub struct GithubPermission {
        orgs: Vec<String>,
    }
}

document! {
    /// Tools of MCP servers.
    pub struct McpPermissions {
        tools: Vec<String>,
    }
}
