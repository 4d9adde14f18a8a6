//! The handlers, a file for each noun: decode, call `auth`, encode.

pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod joining;
pub(crate) mod keys;
