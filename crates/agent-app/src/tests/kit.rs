//! What the tests are made of.

use crate::Session;

pub(crate) fn session_with_traits(_: &[(&str, &[&str])]) -> Session {
    unimplemented!()
}
