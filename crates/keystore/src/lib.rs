//! Where signing keys live: port, software implementation, suite.
