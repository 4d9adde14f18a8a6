//! The lists of principals: whom the caller may be at a resource.

use std::fmt;

use domain::resources::role::RoleConditions;

use crate::expand::Matching;

macro_rules! principals {
    ($($variant:ident $word:literal $doc:literal,)+) => {
        /// A list of principals in a role.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Principal { $(#[doc = $doc] $variant),+ }

        impl Principal {
            /// Every list.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name of the list in roles.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

principals! {
    Logins "logins" "Logins of SSH hosts.",
    WindowsDesktopLogins "windows_desktop_logins" "Logins of Windows desktops.",
    DatabaseUsers "db_users" "Users of databases.",
    DatabaseNames "db_names" "Names of databases within a server.",
    DatabaseRoles "db_roles" "Roles given to users that are made on the fly.",
    KubernetesGroups "kubernetes_groups" "Groups to impersonate in Kubernetes.",
    KubernetesUsers "kubernetes_users" "Users to impersonate in Kubernetes.",
    AwsRoleArns "aws_role_arns" "AWS roles to assume.",
    AzureIdentities "azure_identities" "Azure identities to take.",
    GcpServiceAccounts "gcp_service_accounts" "GCP service accounts to take.",
    HostGroups "host_groups" "Groups of host users that are made on the fly.",
    HostSudoers "host_sudoers" "Lines of sudoers for them.",
    DesktopGroups "desktop_groups" "Groups of desktop users that are made on the fly.",
    GithubOrganizations "github_permissions" "GitHub organizations.",
    McpTools "mcp.tools" "Tools of MCP servers.",
}

impl Principal {
    pub(crate) fn of(self, c: &RoleConditions) -> Vec<&str> {
        let list = match self {
            Self::Logins => &c.logins,
            Self::WindowsDesktopLogins => &c.windows_desktop_logins,
            Self::DatabaseUsers => &c.db_users,
            Self::DatabaseNames => &c.db_names,
            Self::DatabaseRoles => &c.db_roles,
            Self::KubernetesGroups => &c.kubernetes_groups,
            Self::KubernetesUsers => &c.kubernetes_users,
            Self::AwsRoleArns => &c.aws_role_arns,
            Self::AzureIdentities => &c.azure_identities,
            Self::GcpServiceAccounts => &c.gcp_service_accounts,
            Self::HostGroups => &c.host_groups,
            Self::HostSudoers => &c.host_sudoers,
            Self::DesktopGroups => &c.desktop_groups,
            Self::GithubOrganizations => {
                return c.github_permissions.iter().flat_map(|entry| &entry.orgs).map(String::as_str).collect();
            }
            Self::McpTools => {
                return c.mcp.iter().flat_map(|entry| &entry.tools).map(String::as_str).collect();
            }
        };
        list.iter().map(String::as_str).collect()
    }

    /// How the entries of the list are compared; only in some of them `*` and `^…$` are more than names like any other.
    /// Azure's identities have no case.
    pub(crate) const fn matching(self) -> Matching {
        match self {
            Self::DatabaseUsers | Self::DatabaseNames | Self::McpTools | Self::GithubOrganizations => {
                Matching::Patterns
            }
            Self::AzureIdentities => Matching::Folded,
            _ => Matching::Exact,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
