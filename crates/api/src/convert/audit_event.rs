//! Audit events with their fields typed.
