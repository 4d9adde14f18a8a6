//! What this process holds: memory, and connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{Mutex, MutexGuard};

/// Held by the test that measures: what the others of its kind take would be counted as its own.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Descriptors that a process needs besides its many connections.
const OTHERS: u64 = 500;

/// The one test of this process that measures memory, or holds very many connections. To be taken before the test's
/// cluster, so that it is let go of after that.
pub(crate) struct Alone {
    descriptors: u64,
    _held: MutexGuard<'static, ()>,
}

impl Alone {
    pub(crate) async fn here() -> Self {
        Self { _held: ALONE.lock().await, descriptors: descriptors() }
    }

    /// How much memory this whole process (both ends of every connection) holds now.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    /// As many connections as are wanted, or as this process can hold if it is at `ends` ends of each.
    pub(crate) fn connections(&self, wanted: u64, ends: u64) -> u64 {
        wanted.min(self.descriptors.saturating_sub(OTHERS) / ends)
    }
}

/// Raises the limit of descriptors as far as it goes, and says how far that is.
pub(crate) fn descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    limit.maximum.unwrap_or(u64::MAX)
}
