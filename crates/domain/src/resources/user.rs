//! `user` v2: a person, or the user behind a bot.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{
    Error,
    form::{Bytes, SecretBytes, SecretText, scalar, time},
    metadata,
    resources::resource,
};

resource!(
    /// A user.
    User(User), "v2" of ["v2", "v1"], UserSpec, status UserStatus
);

/// Traits: each key has a list of values, always written as a list.
pub type Traits = BTreeMap<String, Vec<String>>;

document! {
    /// What a user is and may become.
    pub struct UserSpec {
        oidc_identities: Vec<ExternalIdentity>,
        saml_identities: Vec<ExternalIdentity>,
        github_identities: Vec<ExternalIdentity>,
        roles: Vec<String>,
        #[serde(deserialize_with = "traits")]
        traits: Traits,
        +status: LoginStatus,
        #[serde(with = "time::always")]
        +expires: Option<Timestamp>,
        +created_by: CreatedBy,
        /// Only for reading with secrets.
        local_auth: Option<LocalAuth>,
        trusted_device_ids: Vec<String>,
    }
}

document! {
    /// An identity at an identity provider.
    pub struct ExternalIdentity {
        connector_id: String,
        username: String,
        #[serde(rename = "samlSingleLogoutUrl")]
        saml_single_logout_url: String,
        user_id: String,
    }
}

document! {
    /// Whether the user may log in.
    pub struct LoginStatus {
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        +is_locked: bool,
        locked_message: String,
        #[serde(with = "time::always")]
        +locked_time: Option<Timestamp>,
        #[serde(with = "time::always")]
        +lock_expires: Option<Timestamp>,
    }
}

document! {
    /// Who made the user, and when.
    pub struct CreatedBy {
        connector: Option<ConnectorRef>,
        #[serde(with = "time::always")]
        +time: Option<Timestamp>,
        +user: UserRef,
    }
}

document! {
    /// An identity provider that made the user.
    pub struct ConnectorRef {
        #[serde(rename = "type")]
        +connector_type: String,
        +id: String,
        +identity: String,
    }
}

document! {
    /// A user by name.
    pub struct UserRef {
        +name: String,
    }
}

document! {
    /// The secrets of a local user.
    pub struct LocalAuth {
        password_hash: SecretBytes,
        totp_key: SecretText,
        mfa: Vec<serde_json::Value>,
        webauthn: Option<WebauthnLocalAuth>,
    }
}

document! {
    /// The WebAuthn handle of a local user.
    pub struct WebauthnLocalAuth {
        user_id: Bytes,
    }
}

choice! {
    /// Whether a local user has a password.
    pub enum PasswordState {
        #[default]
        Unspecified = 0 "PASSWORD_STATE_UNSPECIFIED",
        Unset = 1 "PASSWORD_STATE_UNSET",
        Set = 2 "PASSWORD_STATE_SET",
    }
}

choice! {
    /// The weakest second factor of a user.
    pub enum MfaDeviceKind {
        #[default]
        Unspecified = 0 "MFA_DEVICE_KIND_UNSPECIFIED",
        Unset = 1 "MFA_DEVICE_KIND_UNSET",
        Totp = 2 "MFA_DEVICE_KIND_TOTP",
        Webauthn = 3 "MFA_DEVICE_KIND_WEBAUTHN",
    }
}

document! {
    /// What the server knows about a user's credentials.
    pub struct UserStatus {
        password_state: PasswordState,
        mfa_weakest_device: MfaDeviceKind,
    }
}

/// A trait without values is printed as `logins: null` by the reference.
fn traits<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Traits, D::Error> {
    let lists: BTreeMap<String, Option<Vec<String>>> = serde::Deserialize::deserialize(deserializer)?;
    Ok(lists.into_iter().map(|(key, values)| (key, values.unwrap_or_default())).collect())
}

impl User {
    /// The bot that this user belongs to.
    #[must_use]
    pub fn bot_name(&self) -> Option<&str> {
        self.metadata.labels.get(metadata::BOT).map(String::as_str)
    }

    /// The user as everybody may see it who may see it at all.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        self.spec.local_auth = None;
        self
    }

    fn fill(&mut self) {
        self.version = "v2".to_owned();
        if self.spec.expires.is_none() {
            self.spec.expires = self.metadata.expires;
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.spec.roles.iter().any(String::is_empty) {
            return Err(Error::invalid("spec.roles: a role name must not be empty"));
        }
        for key in self.spec.traits.keys() {
            crate::names::TRAIT.check("the name of a trait", key)?;
        }
        Ok(())
    }
}
