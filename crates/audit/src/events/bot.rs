//! Events about bots, their instances and their renewals.

use jiff::Timestamp;

use crate::event::events;

events! {
    /// A bot was created.
    BotCreate = "bot.create" ["TB001I"] (resource, user, connection) {}

    /// A bot was changed.
    BotUpdate = "bot.update" ["TB002I"] (resource, user, connection) {}

    /// A bot was deleted.
    BotDelete = "bot.delete" ["TB003I"] (resource, user, connection) {}

    /// An instance of a bot was deleted; its certificates cannot renew any more.
    BotInstanceDelete = "tessera.bot_instance.delete" ["TSR010I"] (resource, user, connection) {}

    /// A renewal or a join was answered again, with the same two keys: the first answer was lost.
    RenewalRepeated = "tessera.bot.renewal_repeat" ["TSR011I", "TSR011L"] by |event| usize::from(event.limited),
    (user, connection) {
        /// The generation that was given out again.
        generation: u64,
        /// How many times it has now been repeated.
        repeats: u32,
        /// Whether it was refused for the moment, because it was asked too often.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        limited: bool,
    }

    /// A bot renewed within the grace after its certificate had expired.
    RenewedInGrace = "tessera.bot.grace_renewal" ["TSR012I"] (user, connection) {
        /// The new generation.
        generation: u64,
        /// When the presented certificate had expired.
        #[serde(with = "crate::time::optional")]
        expired_at: Option<Timestamp>,
    }

    /// A bot presented more than the store knew: the store was rolled back. The bot was believed, nobody locked.
    RollbackTolerated = "tessera.bot.rollback_tolerated" ["TSR013W"] (user, connection) {
        /// The generation in the store; 0 when there was no record of the instance.
        stored_generation: u64,
        /// The generation in the bot's certificate.
        presented_generation: u64,
        /// Whether the instance's record was made anew from the certificate.
        recreated: bool,
    }
}
