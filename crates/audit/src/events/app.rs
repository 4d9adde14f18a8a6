//! Events about application resources.

use crate::event::events;

events! {
    /// An application was created.
    AppCreate = "app.create" ["TAP03I"] (user, resource, app, connection) {}

    /// An application was changed.
    AppUpdate = "app.update" ["TAP04I"] (user, resource, app, connection) {}

    /// An application was deleted.
    AppDelete = "app.delete" ["TAP05I"] (user, resource, connection) {}

    /// A session with an application began.
    AppSessionStart = "app.session.start" ["T2007I", "T2007E"] (user, connection, app) {
        /// What the session is called: a fingerprint of its id, which appears nowhere.
        #[serde(skip_serializing_if = "String::is_empty")]
        sid: String,
        /// The host that serves the application, when it is known.
        #[serde(skip_serializing_if = "String::is_empty")]
        server_id: String,
        /// Where the application is reached.
        #[serde(skip_serializing_if = "String::is_empty")]
        public_addr: String,
    }

    /// A session with an application ended before its time.
    AppSessionEnd = "app.session.end" ["T2011I"] (user, connection, app) {
        /// What the session is called.
        #[serde(skip_serializing_if = "String::is_empty")]
        sid: String,
        /// The host that served the application, when it is known.
        #[serde(skip_serializing_if = "String::is_empty")]
        server_id: String,
        /// Who ended it.
        #[serde(skip_serializing_if = "String::is_empty")]
        ended_by: String,
    }
}
