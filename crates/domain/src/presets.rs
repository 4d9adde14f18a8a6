//! The roles that every cluster begins with.

use crate::resources::Role;

/// The preset roles, with defaults filled in.
#[must_use]
pub fn roles() -> Vec<Role> {
    Vec::new()
}
