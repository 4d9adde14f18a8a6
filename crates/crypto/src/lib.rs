//! Keys, suites, signatures, hashing, secrets, randomness, TLS configuration: the one place to audit.
