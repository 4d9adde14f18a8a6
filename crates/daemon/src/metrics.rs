//! What the server counts, handed to the parts that count.

use std::sync::{Arc, atomic::AtomicU64};

use clock::Timestamp;
use telemetry::metrics::{self, Registry};

/// The counters of one server; all clones are one.
#[derive(Clone, Default)]
pub(crate) struct Metrics {
    /// The API's.
    pub(crate) api: auth_grpc::Metrics,
    /// The authority's.
    pub(crate) auth: auth::metrics::Metrics,
    /// The agent's.
    pub(crate) app: agent_app::Metrics,
    /// The proxy's.
    pub(crate) proxy: proxy::Metrics,
    /// Audit records that wait for their link.
    pub(crate) backlog: Arc<AtomicU64>,
}

impl Metrics {
    /// Everything that `/metrics` shows.
    pub(crate) fn registry(&self, started: Timestamp) -> Registry {
        let mut registry = Registry::default();
        metrics::register_process(&mut registry, started);
        self.api.register(&mut registry);
        self.auth.register(&mut registry);
        self.proxy.register(&mut registry);
        self.app.register(&mut registry);
        registry
    }
}
