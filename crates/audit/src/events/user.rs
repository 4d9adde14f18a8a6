//! Events about users.

use crate::event::events;

events! {
    /// A user was created.
    UserCreate = "user.create" ["T1002I"] (user, resource, connection) {
        /// The user's roles.
        roles: Vec<String>,
        /// Where the user comes from: `local`, or the connector's name.
        connector: String,
    }

    /// A user was changed.
    UserUpdate = "user.update" ["T1003I"] (user, resource, connection) {
        /// The user's roles.
        roles: Vec<String>,
        /// Where the user comes from: `local`, or the connector's name.
        connector: String,
    }

    /// A user was deleted.
    UserDelete = "user.delete" ["T1004I"] (user, resource, connection) {}
}
