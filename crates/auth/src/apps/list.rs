//! Applications, as far as the caller can reach them.

use domain::{Error, Kind, resources::App};
use rbac::Verb;
use store::{ListRequest, Page};

use super::{is_reachable, permit_reading};
use crate::{Auth, Caller, Operation};

/// A page of applications.
///
/// # Errors
/// Denied, invalid page token.
pub async fn list(auth: &Auth, caller: &Caller, request: ListRequest<'_>) -> Result<Page<App>, Error> {
    permit_reading(auth, caller, Operation::ReadApps, Kind::App, &[Verb::List, Verb::Read])?;
    auth.store.repository::<App>().list(&request, |app| is_reachable(caller, app)).await
}
