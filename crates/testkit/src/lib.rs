//! Fakes, test keys and CAs, log capture with a leak check, the cluster in one process.
//!
//! For tests only: nothing here is linked into what ships.

mod cluster;
mod connect_proxy;
mod witness;

pub use cluster::{Cluster, Options, config};
pub use connect_proxy::ConnectProxy;
pub use witness::{DurableWrite, Witness, Witnessed};
