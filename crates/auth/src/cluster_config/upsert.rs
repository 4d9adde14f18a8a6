//! A setting whatever was there.

use domain::Error;
use rbac::Verb;

use super::{Setting, name, normalize, permit, refuse_static};
use crate::{Auth, Caller};

/// Stores a setting, whatever its revision.
///
/// # Errors
/// Denied; invalid, also when the configuration file sets it.
pub async fn upsert<T: Setting>(auth: &Auth, caller: &Caller, mut setting: T) -> Result<T, Error> {
    permit::<T>(auth, caller, &[Verb::Create, Verb::Update])?;
    normalize(&mut setting, "dynamic")?;
    let stored = auth.store.get::<T>(name::<T>()).await?;
    refuse_static(stored.as_ref())?;
    let change = auth.store.change().upsert(&setting)?;
    let receipt = T::record(change, caller, stored.as_ref(), &setting).commit().await?;
    Ok(receipt.stamp(setting))
}
