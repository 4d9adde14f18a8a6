//! Events about roles.

use crate::event::events;

events! {
    /// A role was created.
    RoleCreate = "role.created" ["T9000I"] (resource, user, connection) {}

    /// A role was changed.
    RoleUpdate = "role.updated" ["T9002I"] (resource, user, connection) {}

    /// A role was deleted.
    RoleDelete = "role.deleted" ["T9001I"] (resource, user, connection) {}
}
