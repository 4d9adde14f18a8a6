//! Each join method: both halves in one folder, features prove and verify.
