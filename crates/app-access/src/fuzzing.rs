//! What fuzz targets reach.

use crate::visitor;

/// What passes of the first words of whoever comes to the listener of an application that speaks no HTTP, if something does.
pub fn first_words(said: &[u8]) -> Option<Vec<u8>> {
    visitor::passes(said)
}
