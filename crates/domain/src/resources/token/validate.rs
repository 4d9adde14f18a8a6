//! What a join token must fulfil.

use super::Token;
use crate::Error;

impl Token {
    pub(super) fn fill(&mut self) {}

    pub(super) fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}
