//! `Debug` of messages that hold a key, a token or a password: what they hold beside the secret, and nothing of it.

use std::fmt;

use crate::r#gen::{proto, teleport::join, tessera, types};

/// The named fields are shown; all others are hidden.
macro_rules! redacted {
    ($($message:ty { $($shown:ident),* })*) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message))$(.field(stringify!($shown), &self.$shown))*.finish_non_exhaustive()
            }
        }
    )*};
}

redacted! {
    proto::CreateAppSessionResponse { session }
    proto::DeleteAppSessionRequest {}
    proto::GenerateAppTokenResponse {}
    proto::GetAppSessionRequest {}
    proto::GetAppSessionResponse { session }
    proto::GetResetPasswordTokenRequest {}
    proto::RegisterUsingAzureMethodRequest { register_using_token_request }
    proto::RegisterUsingBoundKeypairInitialRequest { join_request }
    proto::SsoResponse { request_id }
    proto::TotpResponse {}
    proto::UserCredentials { username }
    join::v1::AzureChallengeSolution {}
    join::v1::BoundKeypairInit { client_params }
    join::v1::ClientInit { join_method, system_role, forwarded_by_proxy, proxy_supplied_parameters }
    join::v1::OidcInit { client_params }
    tessera::v1::AcmeAccount { directory, id }
    tessera::v1::AppAssertionRequest { app_name }
    tessera::v1::AppAssertionResponse { expires }
    tessera::v1::AppSession { sid, user, app_name, public_addr, not_after }
    tessera::v1::AppSessionLiveRequest {}
    tessera::v1::AppSessionReport { client_addr }
    tessera::v1::ExportedKey { r#use }
    tessera::v1::FetchAppSessionRequest {}
    tessera::v1::PublicCertificate { name }
    types::DeviceWebToken { id }
    types::JwtKeyPair { private_key_type }
    types::LocalAuthSecrets {}
    types::provision_token_spec_v2_bound_keypair::OnboardingSpec { initial_public_key, must_register_before }
    types::ProvisionTokenStatusV2BoundKeypair { bound_public_key, bound_bot_instance_id, recovery_count }
    types::ProvisionTokenV1 { roles, expires }
    types::ProvisionTokenV2 { kind, sub_kind, version, spec }
    types::RegisterUsingTokenRequest { host_id, node_name, role, bot_instance_id, bot_generation }
    types::ResourceRequest {}
    types::SshKeyPair { private_key_type }
    types::TlsKeyPair { key_type }
    types::TotpDevice {}
    types::UserTokenSpecV3 { user, usage, created }
    types::UserTokenV3 { kind, sub_kind, version, spec }
    types::WebSessionSpecV2 { user, expires, login_time }
    types::WebSessionV2 { kind, sub_kind, version, spec }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_reach_debug_output() {
        let pair = types::TlsKeyPair { key: b"KEY".to_vec(), ..Default::default() };
        let token = types::ProvisionTokenV2 {
            metadata: Some(types::Metadata { name: "SECRET".to_owned(), ..Default::default() }),
            ..Default::default()
        };
        let text = format!("{pair:?} {token:?}");
        assert!(!text.contains("SECRET") && !text.contains("75, 69, 89"), "{text}");
    }
}
