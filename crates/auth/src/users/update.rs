//! A user at a known revision.

use domain::{Error, resources::User};

use crate::{Auth, Caller, Operation, guard::Guard};

/// Replaces a user that still has the revision that `user` carries.
///
/// # Errors
/// Denied, invalid, not found (also for a role), conflict.
pub async fn update(auth: &Auth, caller: &Caller, user: User) -> Result<User, Error> {
    Guard::new(auth, caller, Operation::UpdateUser).update(user).await.map(User::without_secrets)
}
