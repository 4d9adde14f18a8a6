//! Tokens from the configuration file, in the message that lists them.

use domain::{Error, Timestamp, form::SecretText, role::SystemRole};

use super::wire::{Wire, message};
use crate::r#gen::types;

/// The name of the only resource of this kind.
const NAME: &str = "static-tokens";

/// A token that the configuration file gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StaticToken {
    /// What may join with it.
    pub roles: Vec<SystemRole>,
    /// When it stops working.
    pub expires: Option<Timestamp>,
    /// The token itself.
    pub token: SecretText,
}

message! {
    StaticToken => types::ProvisionTokenV1 { roles, expires, token }
}

/// The message of the list.
#[must_use]
pub fn to_wire(tokens: &Vec<StaticToken>) -> types::StaticTokensV2 {
    types::StaticTokensV2 {
        kind: NAME.replace('-', "_"),
        sub_kind: String::new(),
        version: "v2".to_owned(),
        metadata: Some(types::Metadata { name: NAME.to_owned(), ..Default::default() }),
        spec: Some(types::StaticTokensSpecV2 { static_tokens: tokens.to_wire() }),
    }
}

/// The list of a message.
///
/// # Errors
/// When a role or a time has no meaning here.
pub fn from_wire(message: types::StaticTokensV2) -> Result<Vec<StaticToken>, Error> {
    Wire::from_wire(message.spec.unwrap_or_default().static_tokens)
}
