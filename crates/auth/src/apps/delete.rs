//! Applications go.

use audit::events::app::AppDelete;
use domain::{Error, error::Kind as ErrorKind, resources::App};
use rbac::Verb;
use store::ListRequest;

use super::{is_reachable, require_reach};
use crate::{Auth, Caller, Operation, guard::Guard};

/// Deletes an application.
///
/// # Errors
/// Denied, not found.
pub async fn delete(auth: &Auth, caller: &Caller, name: &str) -> Result<(), Error> {
    let guard = Guard::new(auth, caller, Operation::DeleteApp);
    let app = guard.fetch::<App>(name, &[Verb::Delete]).await?;
    require_reach(auth, caller, Operation::DeleteApp, Verb::Delete, &app)?;
    remove(&guard, &app).await
}

/// Deletes every application that the caller can reach, each with its own record.
///
/// # Errors
/// Denied; what storage says in the middle, with those before gone.
pub async fn delete_all(auth: &Auth, caller: &Caller) -> Result<(), Error> {
    let guard = Guard::new(auth, caller, Operation::DeleteApp);
    let verbs = [Verb::List, Verb::Delete];
    guard.may(domain::Kind::App, &verbs)?;
    loop {
        let page = guard.page::<App>(&ListRequest::default(), &verbs, |app| is_reachable(caller, app)).await?;
        for app in &page.items {
            match remove(&guard, app).await {
                // Somebody else was faster.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => other?,
            }
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
    }
}

async fn remove(guard: &Guard<'_>, app: &App) -> Result<(), Error> {
    let event = AppDelete {
        user: guard.caller.user_metadata(),
        resource: guard.resource(app),
        connection: guard.caller.connection(),
    };
    let change = guard.auth.store.change().delete::<App>(&app.metadata.name);
    change.event(&event).commit().await.map(|_| ())
}
