//! The families of resources that are reached by label.

use std::fmt;

use domain::{form::Labels, resources::role::RoleConditions};

/// A family of resources with its own label selector in roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// SSH hosts.
    Node,
    /// Applications.
    App,
    /// Databases.
    Database,
    /// Database services.
    DatabaseService,
    /// Kubernetes clusters.
    Kubernetes,
    /// Trusted clusters.
    Cluster,
    /// Windows desktops.
    WindowsDesktop,
    /// User groups of an identity provider.
    Group,
    /// Workload identities.
    WorkloadIdentity,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 9] = [
        Self::Node,
        Self::App,
        Self::Database,
        Self::DatabaseService,
        Self::Kubernetes,
        Self::Cluster,
        Self::WindowsDesktop,
        Self::Group,
        Self::WorkloadIdentity,
    ];

    /// What stands before `_labels` in roles.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::App => "app",
            Self::Database => "db",
            Self::DatabaseService => "db_service",
            Self::Kubernetes => "kubernetes",
            Self::Cluster => "cluster",
            Self::WindowsDesktop => "windows_desktop",
            Self::Group => "group",
            Self::WorkloadIdentity => "workload_identity",
        }
    }

    /// The selector and the expression of this family.
    pub(crate) fn of(self, conditions: &RoleConditions) -> (&Labels, &str) {
        let c = conditions;
        match self {
            Self::Node => (&c.node_labels, &c.node_labels_expression),
            Self::App => (&c.app_labels, &c.app_labels_expression),
            Self::Database => (&c.db_labels, &c.db_labels_expression),
            Self::DatabaseService => (&c.db_service_labels, &c.db_service_labels_expression),
            Self::Kubernetes => (&c.kubernetes_labels, &c.kubernetes_labels_expression),
            Self::Cluster => (&c.cluster_labels, &c.cluster_labels_expression),
            Self::WindowsDesktop => (&c.windows_desktop_labels, &c.windows_desktop_labels_expression),
            Self::Group => (&c.group_labels, &c.group_labels_expression),
            Self::WorkloadIdentity => (&c.workload_identity_labels, &c.workload_identity_labels_expression),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
