//! Events about join tokens and invitation links. A secret token's name is given masked: the name is the secret.

use crate::event::events;

events! {
    /// A join token was created.
    ProvisionTokenCreate = "join_token.create" ["TJT00I"] (resource, user, connection) {
        /// The system roles that it joins as.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        roles: Vec<String>,
        /// How a joiner proves itself.
        #[serde(skip_serializing_if = "String::is_empty")]
        join_method: String,
        /// The bot that it joins, if it is a bot's token.
        #[serde(skip_serializing_if = "String::is_empty")]
        token_bot_name: String,
    }

    /// A join token was changed. (The v18 API has no event of its own for it.)
    ProvisionTokenUpdate = "tessera.join_token.update" ["TSR020I"] (resource, user, connection) {
        /// The system roles that it joins as.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        roles: Vec<String>,
        /// How a joiner proves itself.
        #[serde(skip_serializing_if = "String::is_empty")]
        join_method: String,
        /// The bot that it joins, if it is a bot's token.
        #[serde(skip_serializing_if = "String::is_empty")]
        token_bot_name: String,
    }

    /// A join token was deleted by somebody (spending one is part of `bot.join`).
    ProvisionTokenDelete = "tessera.join_token.delete" ["TSR021I"] (resource, user, connection) {}

    /// An invitation or password reset link was made for a user.
    UserTokenCreate = "reset_password_token.create" ["T6000I"] (resource, user, connection) {}
}
