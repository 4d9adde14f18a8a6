//! A role goes, unless somebody still holds it.

use audit::events::role::RoleDelete;
use domain::{
    Error,
    error::Kind as ErrorKind,
    resources::{Bot, Role, User},
};
use rbac::Verb;
use store::{Keyed, ListRequest, settle};

use super::{held::removed, refuse_derived};
use crate::{Auth, Caller, Operation, guard::Guard};

/// How many holders a refusal names.
const NAMED: usize = 5;

/// Removes a role that no user holds and no bot may become. Whoever kept such a role would be shut out, because what it
/// denied cannot be known any more.
///
/// # Errors
/// Denied, not found; conflict when it is in use, naming by whom as far as the caller may read that.
pub async fn delete(auth: &Auth, caller: &Caller, name: &str) -> Result<(), Error> {
    let guard = Guard::new(auth, caller, Operation::DeleteRole);
    settle(|| attempt(&guard, name)).await
}

async fn attempt(guard: &Guard<'_>, name: &str) -> Result<(), Error> {
    let (auth, caller) = (guard.auth, guard.caller);
    let mut change = auth.store.change();
    let role: Role = guard.fetch_for(&mut change, "", name, &[Verb::Delete]).await?;
    refuse_derived(&role)?;
    let change = removed(change).await?;
    refuse_used::<User>(guard, name, "user", |user| user.spec.roles.iter().any(|role| role == name)).await?;
    refuse_used::<Bot>(guard, name, "bot", |bot| bot.spec.roles.iter().any(|role| role == name)).await?;
    let event =
        RoleDelete { resource: guard.resource(&role), user: caller.user_metadata(), connection: caller.connection() };
    change.delete_exactly(&role)?.event(&event).commit().await.map(|_| ())
}

async fn refuse_used<T: Keyed>(
    guard: &Guard<'_>,
    role: &str,
    what: &str,
    uses: impl Fn(&T) -> bool + Send,
) -> Result<(), Error> {
    let page = guard.auth.store.repository::<T>().list(&ListRequest::page(NAMED, ""), uses).await;
    let page = match page {
        Ok(page) => page,
        Err(error) if error.kind() == ErrorKind::Limit => {
            return Err(Error::limit(format!(
                "there are too many of kind {} to see whether role {role:?} is used",
                T::KIND
            )));
        }
        Err(error) => return Err(error),
    };
    if page.items.is_empty() {
        return Ok(());
    }
    let readable = page.items.iter().filter(|item| guard.allows(*item, &[Verb::Read]));
    let names: Vec<&str> = readable.map(|item| item.name()).collect();
    let are_all = page.next_page_token.is_empty() && names.len() == page.items.len();
    Err(Error::conflict(match names.join(", ").as_str() {
        "" => format!("role {role:?} is still used; take it away from whoever holds it first"),
        names if are_all => format!("role {role:?} is still used by {what} {names}; take it away there first"),
        names => format!("role {role:?} is still used by {what} {names} and others; take it away there first"),
    }))
}
