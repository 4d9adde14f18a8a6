//! The handlers, a file for each noun: decode, call `auth`, encode.

pub(crate) mod authorities;
pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod cluster_config;
pub(crate) mod joining;
pub(crate) mod keys;
pub(crate) mod status;
