//! What the file says about the cluster, as the resources that carry it.

use domain::resources::{
    AuthPreference, NetworkingConfig, SessionRecordingConfig,
    auth_preference::{AuthPreferenceSpec, SecondFactor as Factor},
    networking_config::NetworkingConfigSpec,
    session_recording_config::SessionRecordingConfigSpec,
};
use domain::suite::Suite as DomainSuite;

use crate::config::{AuthService, LockingMode, SecondFactor, Suite};

/// The settings of `authentication`, when the file has that section.
pub(crate) fn preference(service: &AuthService) -> Option<AuthPreference> {
    let set = &service.authentication;
    if !set.is_set && service.disconnect_expired_cert.is_none() {
        return None;
    }
    let spec = AuthPreferenceSpec {
        connector_type: "local".to_owned(),
        second_factors: set.second_factors.iter().map(|factor| factor_of(*factor)).collect(),
        allow_local_auth: Some(set.local_auth),
        disconnect_expired_cert: service.disconnect_expired_cert,
        locking_mode: match set.locking_mode {
            LockingMode::BestEffort => "best_effort".to_owned(),
            LockingMode::Strict => "strict".to_owned(),
        },
        default_session_ttl: set.default_session_ttl,
        signature_algorithm_suite: set.signature_algorithm_suite.map_or(DomainSuite::BalancedV1, suite_of),
        ..AuthPreferenceSpec::default()
    };
    Some(AuthPreference { spec, ..AuthPreference::default() })
}

fn factor_of(factor: SecondFactor) -> Factor {
    match factor {
        SecondFactor::Otp => Factor::Otp,
        SecondFactor::Webauthn => Factor::Webauthn,
        SecondFactor::Sso => Factor::Sso,
    }
}

fn suite_of(suite: Suite) -> DomainSuite {
    match suite {
        Suite::Legacy => DomainSuite::Legacy,
        Suite::BalancedV1 => DomainSuite::BalancedV1,
        Suite::FipsV1 => DomainSuite::FipsV1,
        Suite::HsmV1 => DomainSuite::HsmV1,
    }
}

/// The time limits, when the file sets one.
pub(crate) fn networking(service: &AuthService) -> Option<NetworkingConfig> {
    let AuthService { client_idle_timeout: idle, keep_alive_interval: interval, keep_alive_count_max: count, .. } =
        service;
    if idle.is_none() && interval.is_none() && count.is_none() {
        return None;
    }
    let spec = NetworkingConfigSpec {
        client_idle_timeout: idle.unwrap_or_default(),
        keep_alive_interval: interval.unwrap_or_default(),
        keep_alive_count_max: count.and_then(|count| i64::try_from(count).ok()).unwrap_or_default(),
        ..NetworkingConfigSpec::default()
    };
    Some(NetworkingConfig { spec, ..NetworkingConfig::default() })
}

/// Where sessions are recorded, when the file says.
pub(crate) fn recording(service: &AuthService) -> Option<SessionRecordingConfig> {
    let mode = service.session_recording?.as_str().to_owned();
    let spec = SessionRecordingConfigSpec { mode, ..SessionRecordingConfigSpec::default() };
    Some(SessionRecordingConfig { spec, ..SessionRecordingConfig::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn only_what_the_file_says_overrides_what_is_stored() {
        let silent = Config::from_text("auth_service: {cluster_name: a}", "x").unwrap().auth_service;
        assert!(preference(&silent).is_none() && networking(&silent).is_none() && recording(&silent).is_none());
        let text = "auth_service: {keep_alive_interval: 1m, session_recording: off, \
                    authentication: {signature_algorithm_suite: legacy, locking_mode: strict}}";
        let said = Config::from_text(text, "x").unwrap().auth_service;
        let preference = preference(&said).unwrap();
        assert_eq!(preference.spec.signature_algorithm_suite, DomainSuite::Legacy);
        assert_eq!(preference.spec.locking_mode, "strict");
        assert_eq!(networking(&said).unwrap().spec.keep_alive_interval.as_secs(), 60);
        assert_eq!(recording(&said).unwrap().spec.mode, "off");
    }
}
