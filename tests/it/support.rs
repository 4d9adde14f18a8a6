//! What all flows use: raw connections, people with certificates, one valid request for each call.

pub(crate) mod applications;
pub(crate) mod memory;
pub(crate) mod people;
pub(crate) mod raw;
pub(crate) mod requests;
