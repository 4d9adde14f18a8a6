//! Whole-cluster tests over real sockets, one file a flow.

#![allow(
    clippy::unwrap_used,
    clippy::large_futures,
    reason = "a test that fails shall panic where it fails, and its stack is its own"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "real sockets live by real time, and a test's tasks end with its runtime"
)]

mod application;
mod applications;
mod attack;
mod audit_table;
mod crowd;
mod days;
mod full_disk;
mod hostile;
mod hostile_requests;
mod hostile_streams;
mod hosts;
mod instances;
mod kill_points;
mod live;
mod memory;
mod proxied;
mod proxy_grpc;
mod public_port;
mod rollback;
mod slow_disk;
mod support;
