//! A setting goes back to what a new cluster has.

use domain::Error;
use rbac::Verb;
use store::settle;

use super::{Setting, normalize, permit, replace};
use crate::{Auth, Caller};

/// Resets a setting to its defaults.
///
/// # Errors
/// Denied; invalid when the configuration file sets it.
pub async fn reset<T: Setting>(auth: &Auth, caller: &Caller) -> Result<T, Error> {
    permit::<T>(auth, caller, &[Verb::Update])?;
    let mut setting = T::default();
    normalize(&mut setting, "defaults")?;
    let receipt = settle(|| replace(auth, caller, &setting)).await?;
    Ok(receipt.stamp(setting))
}
