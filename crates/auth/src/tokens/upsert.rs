//! A join token, whatever was there.

use domain::{Error, resources::Token};

use super::list::warn_without_bot;
use crate::{Auth, Caller, Operation, guard::Guard};

/// Stores a token whether it exists or not; its revision is ignored.
///
/// # Errors
/// Denied, invalid.
pub async fn upsert(auth: &Auth, caller: &Caller, token: Token) -> Result<Token, Error> {
    let token = Guard::new(auth, caller, Operation::UpsertToken).upsert(token).await?;
    warn_without_bot(auth, &token).await;
    Ok(token)
}
