//! Tokens that let machines join.

mod delegated;

use domain::resources::token::{
    AwsOrganizationalUnits, AwsRule, BoundKeypair, BoundKeypairOnboarding, BoundKeypairRecovery, BoundKeypairStatus,
    JoinMethod, Token, TokenSpec, TokenStatus,
};

use crate::convert::wire::{message, resource, words};
use crate::r#gen::types;

message! {
    BoundKeypair => types::ProvisionTokenSpecV2BoundKeypair {
        onboarding, recovery, rotate_after
    }
    BoundKeypairOnboarding => types::provision_token_spec_v2_bound_keypair::OnboardingSpec {
        initial_public_key, registration_secret, must_register_before
    }
    BoundKeypairRecovery => types::provision_token_spec_v2_bound_keypair::RecoverySpec {
        limit, mode
    }
    TokenStatus => types::ProvisionTokenStatusV2 {
        bound_keypair
    }
    BoundKeypairStatus => types::ProvisionTokenStatusV2BoundKeypair {
        registration_secret, bound_public_key, bound_bot_instance_id, recovery_count, last_recovered_at,
        last_rotated_at, bound_host_id
    }
    TokenSpec => types::ProvisionTokenSpecV2 {
        roles, allow, aws_iid_ttl = awsiidttl, join_method, bot_name, suggested_labels, github = git_hub,
        circleci = circle_ci, suggested_agent_matcher_labels, kubernetes, azure, gitlab = git_lab, gcp,
        spacelift, tpm, terraform_cloud, bitbucket, oracle, bound_keypair, azure_devops, env0, integration,
        generic_oidc
    }
    AwsRule => types::TokenRule {
        aws_account, aws_regions, aws_role, aws_arn = awsarn, aws_organization_id, aws_organizational_units
    }
    AwsOrganizationalUnits => types::AwsOrganizationUnitsMatcher {
        include, exclude
    }
}

words!(JoinMethod, domain::role::SystemRole);
resource!(Token => types::ProvisionTokenV2, status);
