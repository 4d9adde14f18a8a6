//! `cluster_auth_preference` v2: how one proves who one is, cluster-wide.

use std::time::Duration;

use crate::{
    Error,
    form::{duration, scalar},
    metadata,
    resources::{
        resource,
        role::{IdpOptions, IdpSamlOptions, RequireMfa},
    },
    suite::Suite,
};

/// The longest session where neither a role nor the caller says anything.
pub const DEFAULT_SESSION_TTL: Duration = Duration::from_secs(12 * 3600);

resource!(
    /// How one proves who one is.
    AuthPreference(AuthPreference), "v2" of ["v2"], AuthPreferenceSpec
);

document! {
    /// How one proves who one is.
    pub struct AuthPreferenceSpec {
        #[serde(rename = "type")]
        +connector_type: String,
        /// Old form of `second_factors`.
        #[serde(deserialize_with = "second_factor::deserialize")]
        second_factor: String,
        connector_name: String,
        u2f: Option<U2f>,
        #[serde(deserialize_with = "scalar::option::deserialize")]
        disconnect_expired_cert: Option<bool>,
        #[serde(deserialize_with = "scalar::option::deserialize")]
        allow_local_auth: Option<bool>,
        message_of_the_day: String,
        locking_mode: String,
        webauthn: Option<Webauthn>,
        #[serde(deserialize_with = "scalar::option::deserialize")]
        allow_passwordless: Option<bool>,
        #[serde(with = "crate::resources::role::require_mfa")]
        require_session_mfa: RequireMfa,
        device_trust: Option<DeviceTrust>,
        idp: Option<IdpOptions>,
        #[serde(deserialize_with = "scalar::option::deserialize")]
        allow_headless: Option<bool>,
        #[serde(with = "duration::go")]
        default_session_ttl: Duration,
        okta: Option<OktaOptions>,
        hardware_key: Option<HardwareKey>,
        signature_algorithm_suite: Suite,
        second_factors: Vec<SecondFactor>,
    }
}

choice! {
    /// A second factor.
    pub enum SecondFactor {
        #[default]
        Unspecified = 0 "" also "SECOND_FACTOR_TYPE_UNSPECIFIED",
        Otp = 1 "otp" also "SECOND_FACTOR_TYPE_OTP",
        Webauthn = 2 "webauthn" also "SECOND_FACTOR_TYPE_WEBAUTHN",
        Sso = 3 "sso" also "SECOND_FACTOR_TYPE_SSO",
    }
}

document! {
    /// The predecessor of WebAuthn.
    pub struct U2f {
        app_id: String,
        facets: Vec<String>,
        device_attestation_cas: Vec<String>,
    }
}

document! {
    /// WebAuthn.
    pub struct Webauthn {
        rp_id: String,
        attestation_allowed_cas: Vec<String>,
        attestation_denied_cas: Vec<String>,
    }
}

document! {
    /// Trusted devices.
    pub struct DeviceTrust {
        mode: String,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        auto_enroll: bool,
        ekcert_allowed_cas: Vec<String>,
    }
}

document! {
    /// Okta.
    pub struct OktaOptions {
        #[serde(with = "duration::go")]
        sync_period: Duration,
    }
}

document! {
    /// Hardware keys.
    pub struct HardwareKey {
        piv_slot: String,
        serial_number_validation: Option<HardwareKeySerialNumberValidation>,
    }
}

document! {
    /// Serial numbers of hardware keys, from a trait.
    pub struct HardwareKeySerialNumberValidation {
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        enabled: bool,
        serial_number_trait_name: String,
    }
}

/// The old word could be a switch.
mod second_factor {
    use std::fmt;

    use serde::{
        Deserializer,
        de::{Error, Visitor},
    };

    struct Word;

    impl Visitor<'_> for Word {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("off, otp, webauthn, on or optional")
        }

        fn visit_bool<E: Error>(self, on: bool) -> Result<String, E> {
            Ok(if on { "on" } else { "off" }.to_owned())
        }

        fn visit_str<E: Error>(self, word: &str) -> Result<String, E> {
            Ok(word.to_owned())
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(Word)
    }
}

impl AuthPreference {
    /// The preference of a cluster that says nothing.
    #[must_use]
    pub fn standard() -> Self {
        let mut preference = Self::default();
        preference.metadata.labels.insert(metadata::ORIGIN.to_owned(), "defaults".to_owned());
        crate::Resource::set_defaults(&mut preference);
        preference
    }

    fn fill(&mut self) {
        let spec = &mut self.spec;
        if spec.connector_type.is_empty() {
            "local".clone_into(&mut spec.connector_type);
        }
        if spec.second_factors.is_empty() && spec.second_factor.is_empty() {
            spec.second_factors = vec![SecondFactor::Otp, SecondFactor::Webauthn];
        }
        spec.disconnect_expired_cert.get_or_insert(false);
        spec.allow_local_auth.get_or_insert(true);
        if spec.locking_mode.is_empty() {
            "best_effort".clone_into(&mut spec.locking_mode);
        }
        let webauthn = spec.webauthn.is_some();
        spec.allow_passwordless.get_or_insert(webauthn);
        spec.allow_headless.get_or_insert(webauthn);
        spec.idp
            .get_or_insert_with(IdpOptions::default)
            .saml
            .get_or_insert_with(IdpSamlOptions::default)
            .enabled
            .get_or_insert(true);
        if spec.default_session_ttl.is_zero() {
            spec.default_session_ttl = DEFAULT_SESSION_TTL;
        }
        spec.okta.get_or_insert_with(OktaOptions::default);
        spec.signature_algorithm_suite = spec.signature_algorithm_suite.effective();
        self.metadata.labels.entry(metadata::ORIGIN.to_owned()).or_insert_with(|| "dynamic".to_owned());
    }

    fn check(&self) -> Result<(), Error> {
        let one_of = |field: &str, value: &str, words: &[&str]| match words.contains(&value) {
            true => Ok(()),
            false => Err(Error::invalid(format!("spec.{field}: must be one of {}, found {value:?}", words.join(", ")))),
        };
        one_of("type", &self.spec.connector_type, &["local", "github", "oidc", "saml"])?;
        one_of("locking_mode", &self.spec.locking_mode, &["strict", "best_effort"])?;
        if !self.spec.second_factor.is_empty() {
            one_of("second_factor", &self.spec.second_factor, &["off", "otp", "u2f", "webauthn", "on", "optional"])?;
        }
        Ok(())
    }
}
