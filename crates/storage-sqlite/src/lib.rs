//! The embedded back end: SQLite, one writer thread with group commit, a reader pool.
