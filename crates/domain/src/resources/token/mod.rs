//! `token` v2: who may join, and with which proof.

mod delegated;
mod masking;
mod method;
mod status;
#[cfg(test)]
mod tests;
mod validate;

use std::{collections::BTreeMap, time::Duration};

pub use delegated::{
    Azure, AzureDevops, AzureDevopsRule, AzureRule, Bitbucket, BitbucketRule, Circleci, CircleciRule, Env0, Env0Rule,
    Gcp, GcpRule, GenericOidc, GenericOidcCondition, GenericOidcRule, Github, GithubRule, Gitlab, GitlabRule,
    Kubernetes, KubernetesOidc, KubernetesRule, KubernetesStaticJwks, Oracle, OracleRule, Spacelift, SpaceliftRule,
    TerraformCloud, TerraformCloudRule, Tpm, TpmRule, Value, Values,
};
pub use masking::mask;
pub use method::JoinMethod;
pub use status::{BoundKeypair, BoundKeypairOnboarding, BoundKeypairRecovery, BoundKeypairStatus, TokenStatus};

use crate::{form::duration, resources::resource, role::SystemRole};

resource!(
    /// A join token.
    Token(Token), "v2" of ["v2"], TokenSpec,
    status #[serde(skip_serializing_if = "crate::form::is_default")] TokenStatus
);

document! {
    /// What a join token gives, and what proof it asks for.
    pub struct TokenSpec {
        +roles: Vec<SystemRole>,
        /// Rules of `iam` and `ec2`.
        allow: Vec<AwsRule>,
        #[serde(with = "duration::go")]
        aws_iid_ttl: Duration,
        +join_method: JoinMethod,
        bot_name: String,
        suggested_labels: BTreeMap<String, Vec<String>>,
        github: Option<Github>,
        circleci: Option<Circleci>,
        suggested_agent_matcher_labels: BTreeMap<String, Vec<String>>,
        kubernetes: Option<Kubernetes>,
        azure: Option<Azure>,
        gitlab: Option<Gitlab>,
        gcp: Option<Gcp>,
        spacelift: Option<Spacelift>,
        tpm: Option<Tpm>,
        terraform_cloud: Option<TerraformCloud>,
        bitbucket: Option<Bitbucket>,
        oracle: Option<Oracle>,
        bound_keypair: Option<BoundKeypair>,
        azure_devops: Option<AzureDevops>,
        env0: Option<Env0>,
        integration: String,
        generic_oidc: Option<GenericOidc>,
    }
}

document! {
    /// A rule of `iam` or `ec2`.
    pub struct AwsRule {
        aws_account: String,
        aws_regions: Vec<String>,
        aws_role: String,
        aws_arn: String,
        aws_organization_id: String,
        aws_organizational_units: Option<AwsOrganizationalUnits>,
    }
}

document! {
    /// Organizational units; exclusion wins.
    pub struct AwsOrganizationalUnits {
        include: Vec<String>,
        exclude: Vec<String>,
    }
}

impl Token {
    /// The name as anybody may see it: masked where the name is the secret.
    #[must_use]
    pub fn safe_name(&self) -> String {
        if self.spec.join_method.is_name_secret() { mask(&self.metadata.name) } else { self.metadata.name.clone() }
    }

    /// Whether the token joins a bot.
    #[must_use]
    pub fn is_for_bot(&self) -> bool {
        self.spec.roles.contains(&SystemRole::Bot)
    }

    /// Whether a bot's join uses the token up.
    #[must_use]
    pub fn is_single_use(&self) -> bool {
        self.is_for_bot() && self.spec.join_method == JoinMethod::Token
    }
}
