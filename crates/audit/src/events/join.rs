//! Events about joining: bots, and agents ("instances").

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{event::events, parts::Status};

/// Which of the codes I, E, L a join carries.
fn outcome(status: &Status, limited: bool) -> usize {
    match (limited, status.success) {
        (true, _) => 2,
        (false, true) => 0,
        (false, false) => 1,
    }
}

/// serde: one attempt is not worth a field.
fn is_single(attempts: &u64) -> bool {
    *attempts <= 1
}

events! {
    /// A bot joined, or tried to.
    BotJoin = "bot.join" ["TJ001I", "TJ001E", "TJ001L"] by |event| outcome(&event.status, event.limited),
    (status, connection) {
        /// The bot; `unknown` when it failed before the token was known.
        #[serde(skip_serializing_if = "String::is_empty")]
        bot_name: String,
        /// The join method; `unknown` when it failed before the token was known.
        #[serde(skip_serializing_if = "String::is_empty")]
        method: String,
        /// The token's name, masked when the name is the secret.
        #[serde(skip_serializing_if = "String::is_empty")]
        token_name: String,
        /// Everything that the platform vouched for.
        #[serde(skip_serializing_if = "Map::is_empty")]
        attributes: Map<String, Value>,
        /// The bot's user.
        #[serde(skip_serializing_if = "String::is_empty")]
        user_name: String,
        /// The instance that joined.
        #[serde(skip_serializing_if = "String::is_empty")]
        bot_instance_id: String,
        /// How many attempts this record stands for, when like ones were merged.
        #[serde(skip_serializing_if = "is_single")]
        attempts: u64,
        /// The time of the first of several merged attempts.
        #[serde(with = "crate::time::optional", skip_serializing_if = "Option::is_none")]
        first_attempt: Option<Timestamp>,
        /// Refused because a limit of the token was reached (code L); not written out.
        #[serde(skip)]
        limited: bool,
    }

    /// An agent joined, or tried to.
    InstanceJoin = "instance.join" ["TJ002I", "TJ002E", "TJ002L"] by |event| outcome(&event.status, event.limited),
    (status, connection) {
        /// The host's id.
        #[serde(skip_serializing_if = "String::is_empty")]
        host_id: String,
        /// The host's name.
        #[serde(skip_serializing_if = "String::is_empty")]
        node_name: String,
        /// The system role asked for.
        #[serde(skip_serializing_if = "String::is_empty")]
        role: String,
        /// The join method; `unknown` when it failed before the token was known.
        #[serde(skip_serializing_if = "String::is_empty")]
        method: String,
        /// The token's name, masked when the name is the secret.
        #[serde(skip_serializing_if = "String::is_empty")]
        token_name: String,
        /// Everything that the platform vouched for.
        #[serde(skip_serializing_if = "Map::is_empty")]
        attributes: Map<String, Value>,
        /// When the token ends.
        #[serde(with = "crate::time::optional")]
        token_expires: Option<Timestamp>,
        /// How many attempts this record stands for, when like ones were merged.
        #[serde(skip_serializing_if = "is_single")]
        attempts: u64,
        /// The time of the first of several merged attempts.
        #[serde(with = "crate::time::optional", skip_serializing_if = "Option::is_none")]
        first_attempt: Option<Timestamp>,
        /// Refused because a limit of the token was reached (code L); not written out.
        #[serde(skip)]
        limited: bool,
    }
}
