//! The whole way of a host: see the files.
