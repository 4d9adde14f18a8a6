//! Authorities of one type, or of all that older clients know.

use domain::{Error, resources::CertAuthority};

use super::{parse, permit};
use crate::{Auth, Caller};

/// Lists the authorities of a type, of all clusters. No type means all, without those that an older client stumbles over.
///
/// # Errors
/// Invalid for an unknown type, denied.
pub async fn list(auth: &Auth, caller: &Caller, ca_type: &str, with_keys: bool) -> Result<Vec<CertAuthority>, Error> {
    permit(auth, caller, ca_type, with_keys)?;
    let wanted = if ca_type.is_empty() { None } else { Some(parse(ca_type)?) };
    let all = auth.store.all::<CertAuthority>().await?;
    let is_wanted = |authority: &CertAuthority| match wanted {
        Some(wanted) => authority.ca_type() == wanted,
        None => authority.ca_type().is_known_to_old_clients(),
    };
    Ok(all.into_iter().filter(is_wanted).map(CertAuthority::without_secrets).collect())
}
