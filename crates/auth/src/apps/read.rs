//! One application.

use domain::{Error, Kind, resources::App};
use rbac::Verb;

use super::{is_reachable, permit_reading};
use crate::{Auth, Caller, Operation};

/// Reads an application.
///
/// # Errors
/// Denied; not found, also for one that the caller cannot reach.
pub async fn read(auth: &Auth, caller: &Caller, name: &str) -> Result<App, Error> {
    permit_reading(auth, caller, Operation::ReadApps, Kind::App, &[Verb::Read])?;
    let app = auth.store.get::<App>(name).await?.filter(|app| is_reachable(caller, app));
    app.ok_or_else(|| Error::not_found(format!("app {name:?} not found")))
}
