//! Bots: machine identities, each with a user and a role that follow it in every change.

mod create;
mod delete;
mod derived;
mod get;
mod list;
mod update;
mod upsert;

pub use create::create;
pub use delete::delete;
pub use get::get;
pub use list::list;
pub use update::{Field, update};
pub use upsert::upsert;
