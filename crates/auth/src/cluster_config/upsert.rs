//! A setting whatever was there.

use domain::Error;
use rbac::Verb;
use store::settle;

use super::{Setting, normalize, permit, replace};
use crate::{Auth, Caller};

/// Stores a setting, whatever its revision.
///
/// # Errors
/// Denied; invalid, also when the configuration file sets it.
pub async fn upsert<T: Setting>(auth: &Auth, caller: &Caller, mut setting: T) -> Result<T, Error> {
    permit::<T>(auth, caller, &[Verb::Create, Verb::Update])?;
    normalize(&mut setting, "dynamic")?;
    let receipt = settle(|| replace(auth, caller, &setting)).await?;
    Ok(receipt.stamp(setting))
}
