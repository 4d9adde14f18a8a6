//! A new application.

use domain::{Error, resources::App};
use rbac::Verb;

use super::{addresses, require_reach};
use crate::{Auth, Caller, Operation, guard::Guard};

/// Stores an application that is not there yet.
///
/// # Errors
/// Denied, invalid, already exists.
pub async fn create(auth: &Auth, caller: &Caller, app: App) -> Result<App, Error> {
    let guard = Guard::new(auth, caller, Operation::CreateApp);
    guard.on(&app, &[Verb::Create])?;
    require_reach(auth, caller, Operation::CreateApp, Verb::Create, &app)?;
    addresses::refuse_own(auth, &app).await?;
    guard.create(app).await
}
