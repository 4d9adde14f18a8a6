//! Whole-cluster tests, one file a flow: see `it/`. There is nothing here to link.
