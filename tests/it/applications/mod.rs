//! Applications through the whole path: public port, tunnel, agent.

mod app;
mod definitions;
mod ends;
pub(crate) mod kit;
mod restarts;
mod stolen;
mod streams;
