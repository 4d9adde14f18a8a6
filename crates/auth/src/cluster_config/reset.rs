//! A setting goes back to what a new cluster has.

use domain::Error;
use rbac::Verb;

use super::{Setting, name, normalize, permit, refuse_static};
use crate::{Auth, Caller};

/// Resets a setting to its defaults.
///
/// # Errors
/// Denied; invalid when the configuration file sets it.
pub async fn reset<T: Setting>(auth: &Auth, caller: &Caller) -> Result<T, Error> {
    permit::<T>(auth, caller, &[Verb::Update])?;
    let stored = auth.store.get::<T>(name::<T>()).await?;
    refuse_static(stored.as_ref())?;
    let mut setting = T::default();
    normalize(&mut setting, "defaults")?;
    let change = auth.store.change().upsert(&setting)?;
    let receipt = T::record(change, caller, stored.as_ref(), &setting).commit().await?;
    Ok(receipt.stamp(setting))
}
