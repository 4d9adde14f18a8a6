//! Events about application resources.

use crate::event::events;

events! {
    /// An application was created.
    AppCreate = "app.create" ["TAP03I"] (user, resource, app, connection) {}

    /// An application was changed.
    AppUpdate = "app.update" ["TAP04I"] (user, resource, app, connection) {}

    /// An application was deleted.
    AppDelete = "app.delete" ["TAP05I"] (user, resource, connection) {}

    /// A host began to serve an application that other hosts serve: requests are shared among them from now on.
    AppServerJoin = "tessera.app_server.join" ["TSR070W"] (user, app, connection) {
        /// The host.
        server_id: String,
    }

    /// A session with an application began, or an agent did not let it in.
    AppSessionStart = "app.session.start" ["T2007I", "T2007E"] by |event| usize::from(!event.error.is_empty()),
    (user, connection, app) {
        /// What the session is called: a fingerprint of its id, which appears nowhere.
        #[serde(skip_serializing_if = "String::is_empty")]
        sid: String,
        /// The host that serves the application, when it is known.
        #[serde(skip_serializing_if = "String::is_empty")]
        server_id: String,
        /// Where the application is reached.
        #[serde(skip_serializing_if = "String::is_empty")]
        public_addr: String,
        /// Why the agent refused.
        #[serde(skip_serializing_if = "String::is_empty")]
        error: String,
    }

    /// A session with an application ended before its time, or by it; or an agent cut its connections.
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
        /// Why it ended, when nobody did it: its time was over, a lock, a role that changed.
        #[serde(skip_serializing_if = "String::is_empty")]
        reason: String,
    }

    /// A stretch of a session's requests began at an agent.
    AppSessionChunk = "app.session.chunk" ["T2008I"] (user, connection, app) {
        /// What the session is called.
        #[serde(skip_serializing_if = "String::is_empty")]
        sid: String,
        /// The host that serves the application.
        #[serde(skip_serializing_if = "String::is_empty")]
        server_id: String,
        /// What the stretch is called.
        #[serde(skip_serializing_if = "String::is_empty")]
        session_chunk_id: String,
    }

    /// Like requests of a stretch, written at its end.
    AppSessionRequest = "app.session.request" ["T2009I"] (user, connection, app) {
        /// What the session is called.
        #[serde(skip_serializing_if = "String::is_empty")]
        sid: String,
        /// The host that serves the application.
        #[serde(skip_serializing_if = "String::is_empty")]
        server_id: String,
        /// The stretch that they belong to.
        #[serde(skip_serializing_if = "String::is_empty")]
        session_chunk_id: String,
        /// The status of the answers.
        status_code: u32,
        /// The path, without the query; empty for what was too much to be told apart.
        #[serde(skip_serializing_if = "String::is_empty")]
        path: String,
        /// The method.
        #[serde(skip_serializing_if = "String::is_empty")]
        method: String,
        /// How many there were.
        count: u64,
    }

    /// An application is at an address that its agent must not dial.
    AppSessionDialDenied = "app.session.target.dial.denied" ["T2019E"] (user, connection, app) {
        /// What the session is called.
        #[serde(skip_serializing_if = "String::is_empty")]
        sid: String,
        /// The host that serves the application.
        #[serde(skip_serializing_if = "String::is_empty")]
        server_id: String,
        /// The application's host, as its definition says.
        #[serde(skip_serializing_if = "String::is_empty")]
        target_host: String,
        /// The port.
        target_port: u32,
        /// What the host stands for.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        resolved_ips: Vec<String>,
        /// The address that decided.
        #[serde(skip_serializing_if = "String::is_empty")]
        blocked_ip: String,
        /// The denied range that it is in; empty: it is in no allowed one.
        #[serde(skip_serializing_if = "String::is_empty")]
        blocked_prefix: String,
        /// `allowed_hosts` or `denied_hosts`.
        #[serde(skip_serializing_if = "String::is_empty")]
        policy: String,
    }
}
