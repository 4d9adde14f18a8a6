//! A join token goes.

use audit::events::token::ProvisionTokenDelete;
use domain::{Error, resources::Token};
use store::Change;

use super::masked;
use crate::{Auth, Caller, Operation, guard::Guard};

/// Removes a token; who has joined with it stays.
///
/// # Errors
/// Denied, not found.
pub async fn delete(auth: &Auth, caller: &Caller, name: &str) -> Result<(), Error> {
    let guard = Guard::new(auth, caller, Operation::DeleteToken);
    let record = |change: Change, token: &Token| {
        Ok(change.event(&ProvisionTokenDelete {
            resource: masked(token, &guard),
            user: caller.user_metadata(),
            connection: caller.connection(),
        }))
    };
    guard.delete(name, record).await
}
