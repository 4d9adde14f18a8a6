//! Method `token`: the name of the token is the secret.

#[cfg(feature = "prove")]
pub(super) mod prove;
#[cfg(feature = "verify")]
pub(super) mod verify;

#[cfg(all(test, feature = "prove", feature = "verify"))]
mod tests;
