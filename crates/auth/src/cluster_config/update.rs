//! A setting at a known revision.

use domain::Error;
use rbac::Verb;

use super::{Setting, name, normalize, permit, refuse_static};
use crate::{Auth, Caller};

/// Replaces a setting that still has the revision in `setting`.
///
/// # Errors
/// Denied; conflict when it changed meanwhile; invalid, also when the configuration file sets it.
pub async fn update<T: Setting>(auth: &Auth, caller: &Caller, mut setting: T) -> Result<T, Error> {
    permit::<T>(auth, caller, &[Verb::Update])?;
    normalize(&mut setting, "dynamic")?;
    let mut change = auth.store.change();
    let stored = change.read::<T>(name::<T>()).await?;
    refuse_static(stored.as_ref())?;
    let change = change.update(&setting)?;
    let receipt = T::record(change, caller, stored.as_ref(), &setting).commit().await?;
    Ok(receipt.stamp(setting))
}
