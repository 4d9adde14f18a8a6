//! The long-lived tasks of a bot.

pub(crate) mod applications;
pub(crate) mod authorities;
pub(crate) mod heartbeat;
pub(crate) mod identity;
pub(crate) mod output;
