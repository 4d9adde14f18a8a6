//! Each join method: both halves in one folder, features `prove` and `verify`.
//!
//! A machine proves what it is, and the authority learns what was attested: attributes, never permissions. This crate must
//! never know storage, the wire, or what a bot may do; and a program with one half carries nothing of the other.

mod methods;
mod proof;
#[cfg(feature = "prove")]
mod prove;
#[cfg(feature = "verify")]
mod verify;

#[cfg(feature = "prove")]
pub use crate::{
    methods::prover,
    prove::{Asked, Prover},
};
#[cfg(feature = "verify")]
pub use crate::{
    methods::verifier,
    verify::{Attested, Refusal, Verifier},
};
pub use crate::{
    methods::{BUILT, NotBuilt},
    proof::Proof,
};
