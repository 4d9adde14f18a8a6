//! `role` v3 to v8: what its holders may do (`allow`), may not do in any case (`deny`), and how (`options`).

mod choices;
mod conditions;
mod defaults;
mod kubernetes;
mod options;
mod policies;
#[cfg(test)]
mod tests;
mod validate;

pub use choices::require_mfa;
pub use choices::{CreateDatabaseUserMode, CreateHostUserMode, RequireMfa, WebTerminalClipboardMode};
pub use conditions::{
    AccessRequestConditions, AccessRequestReason, AccessReviewConditions, AccessReviewThreshold, AccountAssignment,
    ClaimMapping, DatabasePermission, GithubPermission, ImpersonateConditions, KubernetesResource, McpPermissions,
    RequestKubernetesResource, RoleConditions, Rule, SessionJoinPolicy, SessionRequirePolicy, SpiffeCondition,
};
pub use defaults::MAX_SESSION_TTL;
pub use kubernetes::{is_cluster_wide, singular_of};
pub use options::{
    CertExtension, CertExtensionMode, CertExtensionType, IdpOptions, IdpSamlOptions, PortForwarding, RecordSession,
    RoleOptions, SshPortForwarding,
};
pub use validate::VERBS;

use crate::resources::resource;

resource!(
    /// A role.
    Role(Role), "v7" of ["v3", "v4", "v5", "v6", "v7", "v8"], RoleSpec
);

document! {
    /// What a role gives and takes.
    pub struct RoleSpec {
        +options: RoleOptions,
        +allow: RoleConditions,
        +deny: RoleConditions,
    }
}

impl Role {
    /// The number of the version: 3 to 8.
    #[must_use]
    pub fn version_number(&self) -> u8 {
        self.version.strip_prefix('v').and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}
