//! Who may do what: identity × action × resource → allow or deny, with the reason.
//!
//! Denials are looked for first, in every role; then one role must allow. What cannot be told (a condition about
//! something unknown, a role that does not parse) grants nothing and denies.
//!
//! Pure: no I/O, no clock, no randomness. Decisions are made here, asked for elsewhere.

pub mod builtin;
mod checker;
mod context;
mod decision;
mod expand;
mod explain;
mod family;
mod impersonate;
pub mod locks;
mod options;
mod principal;
mod role_set;
mod verb;

#[cfg(test)]
mod tests;

pub use checker::AccessChecker;
pub use context::{Named, RuleContext};
pub use decision::{Asked, Decision, Place, Reason, Side, Source};
pub use explain::{Contribution, Effect, Explanation};
pub use family::Family;
pub use options::{LockingMode, MergedOptions, RecordingMode};
pub use principal::Principal;
pub use role_set::{CompiledRole, RoleSet};
pub use verb::{Verb, Verbs};
