//! A new join token.

use domain::{Error, resources::Token};

use super::list::warn_without_bot;
use crate::{Auth, Caller, Operation, guard::Guard};

/// Stores a token that is not there yet. Any join method is kept, also those that cannot join yet.
///
/// # Errors
/// Denied, invalid, already exists.
pub async fn create(auth: &Auth, caller: &Caller, token: Token) -> Result<Token, Error> {
    let token = Guard::new(auth, caller, Operation::CreateToken).create(token).await?;
    warn_without_bot(auth, &token).await;
    Ok(token)
}
