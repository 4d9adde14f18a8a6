//! What a machine shows.

use crypto::SecretString;
use domain::resources::token::JoinMethod;

/// What a machine shows to join: the name of the token that lays down the rules, and what meets them.
#[derive(Debug)]
pub enum Proof {
    /// Method `token`: nothing but the name, which only the machine knows.
    Token(SecretString),
}

impl Proof {
    /// The name of the token. It may be a secret whatever the method.
    pub const fn token(&self) -> &SecretString {
        match self {
            Self::Token(name) => name,
        }
    }

    /// The method that it belongs to.
    pub const fn method(&self) -> JoinMethod {
        match self {
            Self::Token(_) => JoinMethod::Token,
        }
    }
}
