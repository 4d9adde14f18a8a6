//! Generated messages and method tables, one conversion file per resource, the single error to status mapping.
