//! What the agent counts.

use telemetry::metrics::{Counter, Registry};

/// The counters of an agent of applications. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// What was decided on knowledge that could not be made fresh.
    pub(crate) stale_decisions: Counter,
}

impl Metrics {
    /// Shows them.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tessera_app_stale_decisions",
            "Who was let in on roles, locks or a word about the session that were not fresh, as best_effort allows",
            self.stale_decisions.clone(),
        );
    }
}
