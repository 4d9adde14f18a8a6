//! Who may do what: identity × action × resource → allow or deny, with the reason.
//!
//! Denials are looked for first, in every role; then one role must allow. What cannot be told (a condition about
//! something unknown, a role that does not parse) grants nothing and denies.
//!
//! Pure: no I/O, no clock, no randomness. Decisions are made here, asked for elsewhere.

pub mod builtin;
mod checker;
mod context;
mod database;
mod decision;
mod details;
mod expand;
mod explain;
mod family;
mod host_users;
mod impersonate;
mod kubernetes;
pub mod locks;
mod options;
mod principal;
mod question;
mod request;
mod review;
mod role_set;
mod session;
mod spiffe;
mod verb;

#[cfg(test)]
mod tests;

pub use checker::AccessChecker;
pub use context::{HostCert, Named, RuleContext};
pub use database::{DatabaseObject, DatabaseUser};
pub use decision::{Decision, Place, Reason, Side, Source};
pub use explain::{Contribution, Effect, Explanation};
pub use family::Family;
pub use host_users::HostUser;
pub use kubernetes::KubernetesObject;
pub use options::{LockingMode, MergedOptions, RecordingMode, RequestStrategy};
pub use principal::Principal;
pub use question::{Question, Tags};
pub use request::{LONGEST_GRANT, RequestState, RequestTerms, Threshold};
pub use review::{RequestUnderReview, Review};
pub use role_set::{CompiledRole, RoleSet};
pub use session::{OnLeave, Participant, Presence, SessionToJoin};
pub use spiffe::SvidRequest;
pub use verb::{Verb, Verbs};
