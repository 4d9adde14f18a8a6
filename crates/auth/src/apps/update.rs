//! An application changes.

use domain::{Error, Resource as _, resources::App};
use rbac::Verb;

use super::{addresses, require_reach};
use crate::{Auth, Caller, Operation, guard::Guard};

/// Replaces an application; with a revision in it, only if it is still the one that was read.
///
/// # Errors
/// Denied, invalid, not found, conflict.
pub async fn update(auth: &Auth, caller: &Caller, mut app: App) -> Result<App, Error> {
    let guard = Guard::new(auth, caller, Operation::UpdateApp);
    let old = guard.fetch::<App>(app.name(), &[Verb::Update]).await?;
    for app in [&old, &app] {
        require_reach(auth, caller, Operation::UpdateApp, Verb::Update, app)?;
    }
    addresses::refuse_own(auth, &app).await?;
    if app.metadata.revision.is_empty() {
        // Older tools send none; what was just read is what they mean.
        app.metadata.revision.clone_from(&old.metadata.revision);
    }
    guard.update(app).await
}
