//! One bot.

use domain::{Error, resources::Bot};
use rbac::Verb;

use crate::{Auth, Caller, Operation, guard::Guard};

/// The bot of this name.
///
/// # Errors
/// Denied, not found.
pub async fn get(auth: &Auth, caller: &Caller, name: &str) -> Result<Bot, Error> {
    Guard::new(auth, caller, Operation::ReadBots).fetch(name, &[Verb::Read]).await
}
