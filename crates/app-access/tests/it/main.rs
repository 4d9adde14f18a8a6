//! Listeners on this machine against a small front that speaks as a proxy does.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that fails shall panic where it fails; its tasks end with its runtime"
)]

mod doors;
mod front;
mod late;
mod pages;
