//! What a role must fulfil.

use super::Role;
use crate::Error;

impl Role {
    pub(super) fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}
