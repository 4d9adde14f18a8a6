//! One bot instance.

use domain::{Error, resources::BotInstance};
use rbac::Verb;

use crate::{Auth, Caller, Operation, guard::Guard};

/// The instance of this bot and id.
///
/// # Errors
/// Denied, not found.
pub async fn get(auth: &Auth, caller: &Caller, bot: &str, instance: &str) -> Result<BotInstance, Error> {
    Guard::new(auth, caller, Operation::ReadBotInstances).fetch_in(bot, instance, &[Verb::Read]).await
}
