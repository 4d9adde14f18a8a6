//! Which sessions there are, as people see them.

use domain::{Error, Kind};
use rbac::{RuleContext, Verb};

use super::{Shown, record};
use crate::{Auth, Caller, Operation, decide::Asked};

/// The sessions of one answer.
const PAGE: usize = 200;

/// A page of sessions, of one user or of all, and what to ask for the next one with; empty at the end. Users see their own.
///
/// # Errors
/// Denied; above all to proxies, which know the sessions that came by and no others.
pub async fn list(
    auth: &Auth,
    caller: &Caller,
    user: Option<&str>,
    size: usize,
    after: &str,
) -> Result<(Vec<Shown>, String), Error> {
    let is_own = caller.is_user() && user == Some(caller.name());
    if !is_own {
        for verb in [Verb::List, Verb::Read] {
            let asked = Asked { operation: Operation::ReadAppSessions, kind: Kind::WebSession, verb, name: "" };
            auth.require(caller, &asked, &RuleContext::NONE)?;
        }
    }
    let size = if size == 0 { PAGE } else { size.min(PAGE) };
    let after = (!after.is_empty()).then_some(after);
    let (records, next) = record::page(auth, user, after, size).await?;
    Ok((records.iter().map(record::Record::shown).collect(), next.unwrap_or_default()))
}
