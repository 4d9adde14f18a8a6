//! The promises of the port, and what is special about a file.

use std::sync::Arc;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_keeps_the_promises_of_the_port() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let count = std::sync::atomic::AtomicUsize::new(0);
    storage::conformance::run(|clock, random| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = directory.path().join(format!("{number}.sqlite"));
        let options = Options { synchronous: Synchronous::Off, ..Options::default() };
        Arc::new(Sqlite::open(&path, clock, &random, options).expect("a new store"))
    })
    .await;
}
