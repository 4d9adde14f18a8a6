//! Everything the authority does, transport-free: one public operation, one file, one Caller.
