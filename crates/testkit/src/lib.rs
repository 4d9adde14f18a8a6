//! Fakes, test keys and CAs, log capture with a leak check, the cluster in one process.
