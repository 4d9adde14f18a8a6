//! Work that outlives the connection that began it: pooled connections to agents, upgraded streams. It ends with the
//! proxy.

use std::future::Future;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Starts such work. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    cut_off: CancellationToken,
}

impl Tasks {
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let cut_off = self.cut_off.clone();
        self.tracker.spawn(async move {
            cut_off.run_until_cancelled_owned(work).await;
        });
    }

    /// Cuts everything off when dropped.
    pub(crate) fn guard(&self) -> impl Drop + use<> {
        self.cut_off.clone().drop_guard()
    }

    /// How much runs.
    #[cfg(test)]
    pub(crate) fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until nothing runs.
    pub(crate) async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
