//! Whole-cluster tests over real sockets, one file a flow.
#![allow(
    clippy::disallowed_methods,
    reason = "real sockets live by real time, and a test's tasks end with its runtime"
)]

mod attack;
mod audit_table;
mod hostile;
mod live;
mod rollback;
mod support;
