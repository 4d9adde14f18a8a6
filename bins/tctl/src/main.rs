//! The administrator's tool of a Tessera cluster.

fn main() {}
