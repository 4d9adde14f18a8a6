//! What the bot counts: each round of each task.

use telemetry::metrics::{Counter, EncodeLabelSet, Family, Gauge, Histogram, Registry};

/// Which task.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Task {
    /// The type of the service, such as `identity`.
    pub(crate) service: String,
    /// Its name.
    pub(crate) name: String,
}

/// The counters of all tasks.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    total: Family<Task, Counter>,
    /// A gauge that only grows: the name that dashboards know has no `_total`, which a counter would add.
    failed: Family<Task, Gauge>,
    successful: Family<Task, Histogram, fn() -> Histogram>,
    duration: Family<Task, Histogram, fn() -> Histogram>,
}

fn retries() -> Histogram {
    Histogram::new([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
}

fn seconds() -> Histogram {
    Histogram::new([0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0])
}

impl Metrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            total: Family::default(),
            failed: Family::default(),
            successful: Family::new_with_constructor(retries),
            duration: Family::new_with_constructor(seconds),
        };
        let duration = "How long a round took, in seconds";
        registry.register("tbot_task_iterations", "Rounds of tasks", metrics.total.clone());
        registry.register("tbot_task_iterations_failed", "Rounds that failed", metrics.failed.clone());
        registry.register(
            "tbot_task_iterations_successful",
            "Retries of rounds that succeeded",
            metrics.successful.clone(),
        );
        // One is documented upstream, the other is what it emits.
        registry.register("tbot_task_iterations_duration_seconds", duration, metrics.duration.clone());
        registry.register("tbot_task_iteration_duration_seconds", duration, metrics.duration.clone());
        metrics
    }

    /// A round has ended.
    pub(crate) fn round(&self, task: &Task, succeeded_after: Option<u32>, took: std::time::Duration) {
        self.total.get_or_create(task).inc();
        self.duration.get_or_create(task).observe(took.as_secs_f64());
        match succeeded_after {
            Some(retries) => self.successful.get_or_create(task).observe(f64::from(retries)),
            None => {
                self.failed.get_or_create(task).inc();
            }
        }
    }
}
