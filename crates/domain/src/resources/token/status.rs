//! `bound_keypair`: what is asked for, and what the server says.

use jiff::Timestamp;

use crate::form::{SecretText, time};

document! {
    /// A key pair that is bound to the token.
    pub struct BoundKeypair {
        +onboarding: Option<BoundKeypairOnboarding>,
        +recovery: Option<BoundKeypairRecovery>,
        #[serde(with = "time::option")]
        rotate_after: Option<Timestamp>,
    }
}

document! {
    /// How the key becomes known: given here, or registered with a secret.
    pub struct BoundKeypairOnboarding {
        initial_public_key: String,
        registration_secret: SecretText,
        #[serde(with = "time::option")]
        must_register_before: Option<Timestamp>,
    }
}

document! {
    /// How often a join without certificates is allowed.
    pub struct BoundKeypairRecovery {
        +limit: u32,
        +mode: String,
    }
}

document! {
    /// Written by the server only.
    pub struct TokenStatus {
        bound_keypair: Option<BoundKeypairStatus>,
    }
}

document! {
    /// Where a bound key pair stands.
    pub struct BoundKeypairStatus {
        +registration_secret: SecretText,
        +bound_public_key: String,
        +bound_bot_instance_id: String,
        +recovery_count: u32,
        #[serde(with = "time::option")]
        last_recovered_at: Option<Timestamp>,
        #[serde(with = "time::option")]
        last_rotated_at: Option<Timestamp>,
        +bound_host_id: String,
    }
}
