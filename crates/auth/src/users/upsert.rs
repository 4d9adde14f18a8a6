//! A user, whatever was there.

use domain::{Error, resources::User};

use crate::{Auth, Caller, Operation, guard::Guard};

/// Stores a user whether it exists or not; its revision is ignored.
///
/// # Errors
/// Denied, invalid; not found for a role that does not exist.
pub async fn upsert(auth: &Auth, caller: &Caller, user: User) -> Result<User, Error> {
    Guard::new(auth, caller, Operation::UpsertUser).upsert(user).await.map(User::without_secrets)
}
