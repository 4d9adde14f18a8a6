//! Why an identity may or may not do something: for administrators, never for the one who was denied.

pub mod explain;
