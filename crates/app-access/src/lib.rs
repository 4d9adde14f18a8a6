//! How a program on this machine reaches applications of the cluster.
//!
//! [`lookup`] finds an application, a [`Keyring`] holds certificates that lead to applications, and [`serve`] listens
//! here: a [`Door::Tunnel`] leads to one application, a [`Door::Proxy`] to the one that each request names. Whoever
//! reaches the listener acts as the holder of the certificates.
//!
//! It must never know where certificates come from, nor keep a private key longer than the TLS configuration it is in.

mod access;
mod browser;
mod connector;
mod exchange;
mod failure;
mod forward;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod keyring;
mod listener;
pub mod lookup;
mod serve;
mod tcp;
mod visitor;

pub use access::{Access, Lead};
pub use exchange::{Exchange, Exchanged};
pub use keyring::{Cached, Issue, Issued, Keyring, Next};
pub use listener::Listener;
pub use serve::{Door, Local, serve, serve_until_told};
