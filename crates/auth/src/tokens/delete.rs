//! A join token goes.

use audit::events::token::ProvisionTokenDelete;
use domain::{Error, metadata::STATIC_TOKEN, resources::Token};
use store::Change;

use super::masked;
use crate::{Auth, Caller, Operation, guard::Guard};

/// Removes a token; who has joined with it stays.
///
/// # Errors
/// Denied, not found; a token of the configuration file, which the next start would bring back.
pub async fn delete(auth: &Auth, caller: &Caller, name: &str) -> Result<(), Error> {
    remove(auth, caller, name, false).await
}

/// Removes a token whose line was taken out of the configuration file.
///
/// # Errors
/// Denied, not found.
pub async fn delete_static(auth: &Auth, caller: &Caller, name: &str) -> Result<(), Error> {
    remove(auth, caller, name, true).await
}

async fn remove(auth: &Auth, caller: &Caller, name: &str, is_out_of_file: bool) -> Result<(), Error> {
    let guard = Guard::new(auth, caller, Operation::DeleteToken);
    let record = |change: Change, token: &Token| {
        if token.metadata.labels.contains_key(STATIC_TOKEN) && !is_out_of_file {
            return Err(Error::invalid(
                "the token stands in the configuration file of the auth service; take it out of auth_service.tokens there \
                 and restart the service",
            ));
        }
        Ok(change.event(&ProvisionTokenDelete {
            resource: masked(token, &guard),
            user: caller.user_metadata(),
            connection: caller.connection(),
        }))
    };
    guard.delete(name, record).await
}
