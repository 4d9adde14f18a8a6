//! How people and machines authenticate.

use domain::resources::auth_preference::{
    AuthPreference, AuthPreferenceSpec, DeviceTrust, HardwareKey, HardwareKeySerialNumberValidation, OktaOptions,
    SecondFactor, U2f, Webauthn,
};

use super::wire::{message, numbers, resource};
use crate::r#gen::types;

message! {
    AuthPreferenceSpec => types::AuthPreferenceSpecV2 {
        connector_type = r#type, second_factor, connector_name, u2f, disconnect_expired_cert,
        allow_local_auth, message_of_the_day, locking_mode, webauthn, allow_passwordless,
        require_session_mfa = require_mfa_type, device_trust, idp, allow_headless, default_session_ttl,
        okta, hardware_key, signature_algorithm_suite, second_factors
    }
    U2f => types::U2f {
        app_id, facets, device_attestation_cas = device_attestation_c_as
    }
    Webauthn => types::Webauthn {
        rp_id = rpid, attestation_allowed_cas = attestation_allowed_c_as, attestation_denied_cas =
        attestation_denied_c_as
    }
    DeviceTrust => types::DeviceTrust {
        mode, auto_enroll, ekcert_allowed_cas = ek_cert_allowed_c_as
    }
    OktaOptions => types::OktaOptions {
        sync_period
    }
    HardwareKey => types::HardwareKey {
        piv_slot, serial_number_validation
    }
    HardwareKeySerialNumberValidation => types::HardwareKeySerialNumberValidation {
        enabled, serial_number_trait_name
    }
}

numbers!(SecondFactor, domain::suite::Suite);
resource!(AuthPreference => types::AuthPreferenceV2);
