//! `auth_service.authentication`: how people authenticate, and what keys the cluster uses.

use std::time::Duration;

use domain::form::duration;
use serde::Serialize;

use crate::config::{fields::Fields, schema::Schema};

/// How long a person's certificate lasts when nothing shorter applies.
const DEFAULT_SESSION_TTL: Duration = Duration::from_secs(12 * 3600);

/// How people authenticate, and what keys the cluster uses.
#[derive(Clone, Debug, Serialize)]
pub struct Authentication {
    /// Which factors a second one may be.
    pub second_factors: Vec<SecondFactor>,
    /// Whether users with passwords may log in.
    pub local_auth: bool,
    /// What happens to somebody when the list of locks is out of date.
    pub locking_mode: LockingMode,
    /// The lifetime of a certificate when nobody asks for one.
    #[serde(serialize_with = "duration::go::serialize")]
    pub default_session_ttl: Duration,
    /// Which key algorithms new keys use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature_algorithm_suite: Option<Suite>,
    /// Whether the file says anything in this section; if not, what is stored stays as it is.
    #[serde(skip)]
    pub is_set: bool,
}

/// A kind of second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecondFactor {
    /// One-time codes.
    Otp,
    /// Hardware keys and platform authenticators.
    Webauthn,
    /// Whatever the identity provider asks for.
    Sso,
}

/// What happens when the list of locks is out of date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LockingMode {
    /// What was last known counts.
    #[default]
    BestEffort,
    /// Everybody is refused.
    Strict,
}

/// A signature algorithm suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suite {
    /// RSA 2048 everywhere.
    Legacy,
    /// Ed25519 and P-256.
    BalancedV1,
    /// P-256.
    FipsV1,
    /// P-256 for authorities, Ed25519 for users' SSH keys.
    HsmV1,
}

impl Suite {
    /// The name in documents and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Suite::Legacy => "legacy",
            Suite::BalancedV1 => "balanced-v1",
            Suite::FipsV1 => "fips-v1",
            Suite::HsmV1 => "hsm-v1",
        }
    }
}

const SUITES: [(&str, Suite); 4] = [
    ("balanced-v1", Suite::BalancedV1),
    ("legacy", Suite::Legacy),
    ("fips-v1", Suite::FipsV1),
    ("hsm-v1", Suite::HsmV1),
];

const WEBAUTHN: Schema = Schema::Map(&[
    ("rp_id", Schema::Text),
    ("attestation_allowed_cas", Schema::Texts),
    ("attestation_denied_cas", Schema::Texts),
]);

pub(super) fn read(fields: Fields<'_>) -> Authentication {
    if fields.text("type").is_some_and(|kind| kind != "local") {
        fields.refuse(
            "type",
            "only local authentication exists, single sign-on is not supported yet",
            "write \"local\"",
        );
    }
    let factors = fields.texts("second_factors").map(|words| factors(&fields, &words));
    let modes = [("best_effort", LockingMode::BestEffort), ("strict", LockingMode::Strict)];
    let authentication = Authentication {
        second_factors: factors.unwrap_or_else(|| vec![SecondFactor::Otp, SecondFactor::Webauthn]),
        local_auth: fields.flag("local_auth").unwrap_or(true),
        locking_mode: fields.choice("locking_mode", &modes).unwrap_or_default(),
        default_session_ttl: fields.duration("default_session_ttl").unwrap_or(DEFAULT_SESSION_TTL),
        signature_algorithm_suite: fields.choice("signature_algorithm_suite", &SUITES),
        is_set: !fields.is_empty(),
    };
    fields.ineffective("second_factor", &Schema::Text);
    fields.ineffective("webauthn", &WEBAUTHN);
    fields.ineffective("passwordless", &Schema::Flag);
    fields.ineffective("headless", &Schema::Flag);
    fields.ineffective("connector_name", &Schema::Text);
    fields.unsupported("require_session_mfa", &Schema::Text, "write \"no\"");
    fields.unsupported(
        "device_trust",
        &Schema::Map(&[("mode", Schema::Text), ("auto_enroll", Schema::Flag), ("ekcert_allowed_cas", Schema::Texts)]),
        "remove it",
    );
    fields.unsupported("hardware_key", &Schema::Any, "remove it");
    fields.unsupported("piv_slot", &Schema::Text, "remove it");
    fields.unsupported("stable_unix_user_config", &Schema::Any, "remove it");
    fields.unsupported("u2f", &Schema::Any, "remove it");
    fields.finish();
    authentication
}

fn factors(fields: &Fields<'_>, words: &[String]) -> Vec<SecondFactor> {
    let mut factors = Vec::new();
    for word in words {
        match word.as_str() {
            "otp" => factors.push(SecondFactor::Otp),
            "webauthn" => factors.push(SecondFactor::Webauthn),
            "sso" => factors.push(SecondFactor::Sso),
            other => fields.refuse("second_factors", format!("unknown factor \"{other}\""), "use otp, webauthn, sso"),
        }
    }
    factors
}
