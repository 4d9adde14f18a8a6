//! Where connections come from.

use std::net::{IpAddr, SocketAddr};

use net::proxy_protocol::Header;

/// Where a connection comes from, as far as is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    /// The client.
    pub(crate) client: SocketAddr,
    /// What it dialled.
    pub(crate) local: SocketAddr,
    /// Whom limits count: the client, unless just anybody can have said so.
    pub(crate) counted: IpAddr,
    /// It came through `/webapi/connectionupgrade`.
    pub(crate) is_upgraded: bool,
}

impl Ends {
    /// By the word of a header of the PROXY protocol. Where nobody has to write one (`is_certain`), anybody can claim any
    /// address: the port 0 then says so to those who would decide by it, and limits count the one who dialled.
    pub(crate) fn claimed(header: &Header, peer: SocketAddr, is_certain: bool) -> Self {
        let client = if is_certain { header.source } else { SocketAddr::new(header.source.ip(), 0) };
        let counted = if is_certain { header.source.ip() } else { peer.ip() };
        Self { client, local: header.destination, counted, is_upgraded: false }
    }
}
