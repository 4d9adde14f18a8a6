//! The Tessera bot: joins, renews, writes artifacts.

fn main() {}
