//! A setting, as it is stored.

use domain::Error;
use rbac::{RuleContext, Verb};
use store::Keyed;

use super::{is_for_everybody, name};
use crate::{Auth, Caller, Operation, decide::Asked};

/// Reads a setting.
///
/// # Errors
/// Denied; not found when the cluster has none, which a first start prevents.
pub async fn read<T: Keyed>(auth: &Auth, caller: &Caller) -> Result<T, Error> {
    let asked = Asked { operation: Operation::ReadClusterConfig, kind: T::KIND, verb: Verb::Read, name: name::<T>() };
    if is_for_everybody(T::KIND) {
        auth.require_undenied(caller, &asked, &RuleContext::NONE)?;
    } else {
        auth.require(caller, &asked, &RuleContext::NONE)?;
    }
    auth.store.fetch::<T>(name::<T>()).await
}
