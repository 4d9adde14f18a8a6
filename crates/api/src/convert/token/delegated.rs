//! Rules of the join methods in which somebody else vouches for the machine.

use domain::resources::token::{
    Azure, AzureDevops, AzureDevopsRule, AzureRule, Bitbucket, BitbucketRule, Circleci, CircleciRule, Env0, Env0Rule,
    Gcp, GcpRule, GenericOidc, GenericOidcCondition, GenericOidcRule, Github, GithubRule, Gitlab, GitlabRule,
    Kubernetes, KubernetesOidc, KubernetesRule, KubernetesStaticJwks, Oracle, OracleRule, Spacelift, SpaceliftRule,
    TerraformCloud, TerraformCloudRule, Tpm, TpmRule, Value, Values,
};

use crate::convert::wire::message;
use crate::r#gen::types;

message! {
    KubernetesStaticJwks => types::provision_token_spec_v2_kubernetes::StaticJwksConfig {
        jwks
    }
    KubernetesOidc => types::provision_token_spec_v2_kubernetes::OidcConfig {
        issuer, insecure_allow_http_issuer
    }
    GenericOidc => types::ProvisionTokenSpecV2GenericOidc {
        issuer, insecure_allow_http_issuer, audience, static_jwks, tls_ca = tlsca, must_match_fields,
        allow_any
    }
    GenericOidcRule => types::provision_token_spec_v2_generic_oidc::Rule {
        conditions, expression
    }
    GenericOidcCondition => types::provision_token_spec_v2_generic_oidc::Condition {
        attribute, eq, not_eq, r#in, not_in
    }
    Github => types::ProvisionTokenSpecV2GitHub {
        allow, enterprise_server_host, enterprise_slug, static_jwks
    }
    GithubRule => types::provision_token_spec_v2_git_hub::Rule {
        sub, repository, repository_owner, workflow, environment, actor, r#ref, ref_type, enterprise,
        enterprise_id
    }
    Circleci => types::ProvisionTokenSpecV2CircleCi {
        allow, organization_id
    }
    CircleciRule => types::provision_token_spec_v2_circle_ci::Rule {
        project_id, context_id
    }
    Kubernetes => types::ProvisionTokenSpecV2Kubernetes {
        allow, r#type, static_jwks, oidc
    }
    KubernetesRule => types::provision_token_spec_v2_kubernetes::Rule {
        service_account, service_account_name, service_account_namespace
    }
    Azure => types::ProvisionTokenSpecV2Azure {
        allow
    }
    AzureRule => types::provision_token_spec_v2_azure::Rule {
        subscription, resource_groups, tenant
    }
    Gitlab => types::ProvisionTokenSpecV2GitLab {
        allow, domain, static_jwks
    }
    GitlabRule => types::provision_token_spec_v2_git_lab::Rule {
        sub, r#ref, ref_type, namespace_path, project_path, pipeline_source, environment, user_login,
        user_id, user_email, ref_protected, environment_protected, ci_config_sha, ci_config_ref_uri,
        deployment_tier, project_visibility
    }
    Gcp => types::ProvisionTokenSpecV2gcp {
        allow
    }
    GcpRule => types::provision_token_spec_v2gcp::Rule {
        project_ids = project_i_ds, locations, service_accounts
    }
    Spacelift => types::ProvisionTokenSpecV2Spacelift {
        allow, hostname, enable_glob_matching
    }
    SpaceliftRule => types::provision_token_spec_v2_spacelift::Rule {
        space_id, caller_id, caller_type, scope
    }
    Tpm => types::ProvisionTokenSpecV2tpm {
        allow, ekcert_allowed_cas = ek_cert_allowed_c_as
    }
    TpmRule => types::provision_token_spec_v2tpm::Rule {
        description, ek_public_hash, ek_certificate_serial
    }
    TerraformCloud => types::ProvisionTokenSpecV2TerraformCloud {
        allow, audience, hostname
    }
    TerraformCloudRule => types::provision_token_spec_v2_terraform_cloud::Rule {
        organization_id, organization_name, project_id, project_name, workspace_id, workspace_name,
        run_phase
    }
    Bitbucket => types::ProvisionTokenSpecV2Bitbucket {
        allow, audience, identity_provider_url
    }
    BitbucketRule => types::provision_token_spec_v2_bitbucket::Rule {
        workspace_uuid, repository_uuid, deployment_environment_uuid, branch_name
    }
    Oracle => types::ProvisionTokenSpecV2Oracle {
        allow
    }
    OracleRule => types::provision_token_spec_v2_oracle::Rule {
        tenancy, parent_compartments, regions, instances
    }
    AzureDevops => types::ProvisionTokenSpecV2AzureDevops {
        allow, organization_id
    }
    AzureDevopsRule => types::provision_token_spec_v2_azure_devops::Rule {
        sub, project_name, pipeline_name, project_id, definition_id, repository_uri, repository_version,
        repository_ref
    }
    Env0 => types::ProvisionTokenSpecV2Env0 {
        allow
    }
    Env0Rule => types::provision_token_spec_v2_env0::Rule {
        organization_id, project_id, project_name, template_id, template_name, environment_id,
        environment_name, workspace_name, deployment_type, deployer_email, env0_tag
    }
    Value => types::provision_token_spec_v2_generic_oidc::ConditionEq {
        value
    }
    Value => types::provision_token_spec_v2_generic_oidc::ConditionNotEq {
        value
    }
    Values => types::provision_token_spec_v2_generic_oidc::ConditionIn {
        values
    }
    Values => types::provision_token_spec_v2_generic_oidc::ConditionNotIn {
        values
    }
}
