//! Pages of locks.

use std::collections::BTreeMap;

use domain::{
    Error,
    resources::{Lock, lock::LockTarget},
};
use rbac::Verb;
use store::{ListRequest, Page};

use crate::{Auth, Caller, Operation, guard::Guard};

/// Which locks.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Locks whose target has all the fields of one of these; empty for all.
    pub targets: Vec<LockTarget>,
    /// Whether locks that have ended are left out.
    pub in_force_only: bool,
}

/// A page of the locks that the caller may see.
///
/// # Errors
/// Denied, invalid page token.
pub async fn list(
    auth: &Auth,
    caller: &Caller,
    request: ListRequest<'_>,
    filter: &Filter,
) -> Result<Page<Lock>, Error> {
    let now = auth.clock.now();
    let wanted = |lock: &Lock| {
        let is_aimed = filter.targets.is_empty() || filter.targets.iter().any(|target| has_all(lock, target));
        is_aimed && (!filter.in_force_only || lock.is_in_force(now))
    };
    Guard::new(auth, caller, Operation::ReadLocks).page(&request, &[Verb::List, Verb::Read], wanted).await
}

/// Whether the lock's target has every field that `asked` has. A target without any is none.
fn has_all(lock: &Lock, asked: &LockTarget) -> bool {
    let fields: BTreeMap<_, _> = lock.spec.target.fields().collect();
    !asked.is_empty() && asked.fields().all(|(name, value)| fields.get(name) == Some(&value))
}
