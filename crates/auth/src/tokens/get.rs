//! One join token.

use domain::{Error, resources::Token};
use rbac::Verb;

use crate::{Auth, Caller, Operation, guard::Guard};

/// The token of this name.
///
/// # Errors
/// Denied, not found.
pub async fn get(auth: &Auth, caller: &Caller, name: &str) -> Result<Token, Error> {
    Guard::new(auth, caller, Operation::ReadTokens).fetch(name, &[Verb::Read]).await
}
