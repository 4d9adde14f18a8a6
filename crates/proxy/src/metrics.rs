//! What the proxy counts.

use telemetry::metrics::{Counter, EncodeLabelSet, Family, Gauge, Registry};

use crate::router::Route;

/// The counters of a proxy.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    connections: Family<Kind, Counter>,
    pub(crate) open: Gauge,
    /// Uses of a session that could not be checked.
    pub(crate) stale_decisions: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kind {
    route: String,
}

impl Metrics {
    /// Shows them.
    pub fn register(&self, registry: &mut Registry) {
        let (connections, open) = (self.connections.clone(), self.open.clone());
        registry.register("proxy_connections", "Connections by what they are for", connections);
        registry.register("proxy_connections_open", "Connections that are open now", open);
        registry.register(
            "tessera_proxy_stale_decisions",
            "Uses of a session about which there is no fresh word, as best_effort allows",
            self.stale_decisions.clone(),
        );
    }

    pub(crate) fn connection(&self, route: Route) {
        self.connections.get_or_create(&Kind { route: route.as_str().to_owned() }).inc();
    }
}
