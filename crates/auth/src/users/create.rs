//! A new user.

use domain::{Error, resources::User};

use crate::{Auth, Caller, Operation, guard::Guard};

/// Stores a user that is not there yet; its roles must exist.
///
/// # Errors
/// Denied, invalid, already exists; not found for a role that does not exist.
pub async fn create(auth: &Auth, caller: &Caller, user: User) -> Result<User, Error> {
    Guard::new(auth, caller, Operation::CreateUser).create(user).await.map(User::without_secrets)
}
