//! The Tessera server.

fn main() {}
