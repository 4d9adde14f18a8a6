//! The reverse tunnel: an agent dials a proxy, and the proxy opens streams to it.
//!
//! A *link* is one HTTP/2 connection whose roles are swapped: the side that was dialled (the proxy) is the HTTP/2 client
//! and opens streams, the side that dialled (the agent) serves them. HTTP/2 brings multiplexing, flow control and pings.
//! The first stream of a link is the *control stream*, on which the proxy says who it is, which other proxies there are,
//! and that it is about to stop.
//!
//! [`machine`] decides which proxies an agent holds links to; [`agent`] carries that out. [`switchboard`] is the proxy's
//! side: who is connected, and a stream to any of them. [`link`] is what both are made of, and what proxies use among
//! themselves.
//!
//! [`headers`] is what both ends agree on when they carry requests through streams.
//!
//! This crate must never know what is spoken inside a stream, nor how the other side proved who it is: it is handed
//! established streams whose ends are known. What is spoken in a stream, and for whom, are words and bytes that it carries:
//! it says which proof belongs to which stream of which link ([`Stream::proof`]), and judges none.

pub mod agent;
pub mod control;
mod gather;
pub mod headers;
pub mod link;
pub mod machine;
pub mod source;
pub mod stream;
pub mod switchboard;

pub use crate::{
    control::{Hello, Peer},
    link::{Open, OpenError, Transport},
    stream::Stream,
    switchboard::Switchboard,
};

/// What agents and proxies agree on in a TLS handshake (ALPN) to speak this.
pub const ALPN: &[u8] = b"tessera-tunnel";

/// The service of streams that lead to applications.
pub const APPLICATIONS: &str = "app";
