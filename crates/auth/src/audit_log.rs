//! The audit log: what was denied, what happened, and the proof that nothing is missing.

pub(crate) mod denials;
