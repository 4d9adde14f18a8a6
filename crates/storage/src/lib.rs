//! The back-end port, an in-memory back end, and the conformance suite.
