//! The blocks of the methods in which a platform vouches.

use crate::form::scalar;

macro_rules! rules {
    ($($(#[$meta:meta])* $block:ident { $($field:tt)* } rule $rule:ident { $($rfield:tt)* })+) => {$(
        document! {
            $(#[$meta])*
            pub struct $block {
                allow: Vec<$rule>,
                $($field)*
            }
        }
        document! {
            /// All of what is given must match.
            pub struct $rule { $($rfield)* }
        }
    )+};
}

rules! {
    /// GitHub Actions.
    Github {
        enterprise_server_host: String,
        enterprise_slug: String,
        static_jwks: String,
    } rule GithubRule {
        sub: String,
        repository: String,
        repository_owner: String,
        workflow: String,
        environment: String,
        actor: String,
        r#ref: String,
        ref_type: String,
        enterprise: String,
        enterprise_id: String,
    }

    /// CircleCI.
    Circleci {
        organization_id: String,
    } rule CircleciRule {
        project_id: String,
        context_id: String,
    }

    /// Kubernetes service accounts.
    Kubernetes {
        r#type: String,
        static_jwks: Option<KubernetesStaticJwks>,
        oidc: Option<KubernetesOidc>,
    } rule KubernetesRule {
        service_account: String,
        service_account_name: String,
        service_account_namespace: String,
    }

    /// Azure virtual machines.
    Azure {} rule AzureRule {
        subscription: String,
        resource_groups: Vec<String>,
        tenant: String,
    }

    /// GitLab CI.
    Gitlab {
        domain: String,
        static_jwks: String,
    } rule GitlabRule {
        sub: String,
        r#ref: String,
        ref_type: String,
        namespace_path: String,
        project_path: String,
        pipeline_source: String,
        environment: String,
        user_login: String,
        user_id: String,
        user_email: String,
        #[serde(deserialize_with = "scalar::option::deserialize")]
        ref_protected: Option<bool>,
        #[serde(deserialize_with = "scalar::option::deserialize")]
        environment_protected: Option<bool>,
        ci_config_sha: String,
        ci_config_ref_uri: String,
        deployment_tier: String,
        project_visibility: String,
    }

    /// Google Cloud.
    Gcp {} rule GcpRule {
        project_ids: Vec<String>,
        locations: Vec<String>,
        service_accounts: Vec<String>,
    }

    /// Spacelift.
    Spacelift {
        hostname: String,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        enable_glob_matching: bool,
    } rule SpaceliftRule {
        space_id: String,
        caller_id: String,
        caller_type: String,
        scope: String,
    }

    /// A trusted platform module.
    Tpm {
        ekcert_allowed_cas: Vec<String>,
    } rule TpmRule {
        description: String,
        ek_public_hash: String,
        ek_certificate_serial: String,
    }

    /// HCP Terraform.
    TerraformCloud {
        audience: String,
        hostname: String,
    } rule TerraformCloudRule {
        organization_id: String,
        organization_name: String,
        project_id: String,
        project_name: String,
        workspace_id: String,
        workspace_name: String,
        run_phase: String,
    }

    /// Bitbucket pipelines.
    Bitbucket {
        audience: String,
        identity_provider_url: String,
    } rule BitbucketRule {
        workspace_uuid: String,
        repository_uuid: String,
        deployment_environment_uuid: String,
        branch_name: String,
    }

    /// Oracle Cloud.
    Oracle {} rule OracleRule {
        +tenancy: String,
        parent_compartments: Vec<String>,
        regions: Vec<String>,
        instances: Vec<String>,
    }

    /// Azure DevOps pipelines.
    AzureDevops {
        +organization_id: String,
    } rule AzureDevopsRule {
        sub: String,
        project_name: String,
        pipeline_name: String,
        project_id: String,
        definition_id: String,
        repository_uri: String,
        repository_version: String,
        repository_ref: String,
    }

    /// env0.
    Env0 {} rule Env0Rule {
        organization_id: String,
        project_id: String,
        project_name: String,
        template_id: String,
        template_name: String,
        environment_id: String,
        environment_name: String,
        workspace_name: String,
        deployment_type: String,
        deployer_email: String,
        env0_tag: String,
    }
}

document! {
    /// The keys of a cluster, given here.
    pub struct KubernetesStaticJwks {
        jwks: String,
    }
}

document! {
    /// The keys of a cluster, asked from its issuer.
    pub struct KubernetesOidc {
        issuer: String,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        +insecure_allow_http_issuer: bool,
    }
}

document! {
    /// Any issuer of OpenID Connect tokens.
    pub struct GenericOidc {
        +issuer: String,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        +insecure_allow_http_issuer: bool,
        audience: String,
        static_jwks: String,
        tls_ca: String,
        /// Nested equality on strings, numbers and switches.
        +must_match_fields: serde_json::Map<String, serde_json::Value>,
        +allow_any: Vec<GenericOidcRule>,
    }
}

document! {
    /// Either conditions, all of which must hold, or an expression.
    pub struct GenericOidcRule {
        conditions: Vec<GenericOidcCondition>,
        expression: String,
    }
}

document! {
    /// One operator on one attribute.
    pub struct GenericOidcCondition {
        +attribute: String,
        +eq: Option<Value>,
        +not_eq: Option<Value>,
        +r#in: Option<Values>,
        +not_in: Option<Values>,
    }
}

document! {
    /// The value to compare with.
    pub struct Value {
        +value: String,
    }
}

document! {
    /// The values to look among.
    pub struct Values {
        +values: Vec<String>,
    }
}
