//! Pages of bots.

use domain::{Error, resources::Bot};
use rbac::Verb;
use store::{ListRequest, Page};

use crate::{Auth, Caller, Operation, guard::Guard};

/// A page of the bots that the caller may see.
///
/// # Errors
/// Denied, invalid page token.
pub async fn list(auth: &Auth, caller: &Caller, request: ListRequest<'_>) -> Result<Page<Bot>, Error> {
    Guard::new(auth, caller, Operation::ReadBots).page(&request, &[Verb::List, Verb::Read], |_| true).await
}
