//! Events about application resources.

use crate::event::events;

events! {
    /// An application was created.
    AppCreate = "app.create" ["TAP03I"] (user, resource, app, connection) {}

    /// An application was changed.
    AppUpdate = "app.update" ["TAP04I"] (user, resource, app, connection) {}

    /// An application was deleted.
    AppDelete = "app.delete" ["TAP05I"] (user, resource, connection) {}
}
