//! Users.

use domain::Error;
use domain::resources::user::{
    ConnectorRef, CreatedBy, ExternalIdentity, LocalAuth, LoginStatus, MfaDeviceKind, PasswordState, User, UserRef,
    UserSpec, UserStatus, WebauthnLocalAuth,
};

use super::wire::{Wire, message, numbers, resource};
use crate::r#gen::types;

message! {
    UserSpec => types::UserSpecV2 {
        oidc_identities, saml_identities, github_identities, roles, traits, status, expires, created_by,
        local_auth, trusted_device_ids = trusted_device_i_ds
    }
    ExternalIdentity => types::ExternalIdentity {
        connector_id, username, saml_single_logout_url, user_id
    }
    LoginStatus => types::LoginStatus {
        is_locked, locked_message, locked_time, lock_expires
    }
    CreatedBy => types::CreatedBy {
        connector, time, user
    }
    ConnectorRef => types::ConnectorRef {
        connector_type = r#type, id, identity
    }
    UserRef => types::UserRef {
        name
    }
    LocalAuth => types::LocalAuthSecrets {
        password_hash, totp_key, mfa, webauthn
    }
    WebauthnLocalAuth => types::WebauthnLocalAuth {
        user_id
    }
    UserStatus => types::UserStatusV2 {
        password_state, mfa_weakest_device
    }
}

numbers!(PasswordState, MfaDeviceKind);
resource!(User => types::UserV2, status);

/// Second factors are kept as the documents that came with a user; there is no form of them on the wire yet.
impl Wire<types::MfaDevice> for serde_json::Value {
    fn to_wire(&self) -> types::MfaDevice {
        let text = |key: &str| self[key].as_str().unwrap_or_default().to_owned();
        types::MfaDevice { kind: text("kind"), version: text("version"), id: text("id"), ..Default::default() }
    }

    fn from_wire(_: types::MfaDevice) -> Result<Self, Error> {
        Err(Error::unsupported("a second factor is not supported yet; leave it out"))
    }
}
