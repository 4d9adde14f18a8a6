//! Whole-cluster tests, one file a flow.
