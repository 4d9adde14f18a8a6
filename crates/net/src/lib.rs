//! Listeners with limits: what a stranger can make us hold while nobody knows who they are.
//!
//! [`Acceptor`] takes TCP connections, lets them wait their turn fairly per address ([`Gate`]), does the TLS handshake
//! within one deadline and hands the stream on. Limits delay, they never ban, and they end once the peer has shown a
//! certificate of ours: ten thousand bots behind one address come back after an outage.
//!
//! This crate must never know which service listens, nor what is spoken inside TLS.

pub mod acceptor;
pub mod fair;
pub mod gate;
pub mod hello;
pub mod io;
pub mod listener;
pub mod packets;
pub mod prefixed;
pub mod proxy_protocol;
pub mod tls;

pub use acceptor::{Accepted, Acceptor, Limits, Sources};
pub use gate::{Gate, Pass};
pub use io::{BoxIo, Io};
pub use listener::{Listener, ListenerOptions};
pub use prefixed::Prefixed;
