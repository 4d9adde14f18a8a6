//! One authority, without its private keys.

use domain::{Error, resources::CertAuthority};

use super::{parse, permit};
use crate::{Auth, Caller};

/// Reads the authority of this type of a cluster; no cluster means our own.
///
/// # Errors
/// Invalid for an unknown type, denied, not found.
pub async fn read(
    auth: &Auth,
    caller: &Caller,
    ca_type: &str,
    cluster: &str,
    with_keys: bool,
) -> Result<CertAuthority, Error> {
    permit(auth, caller, ca_type, with_keys)?;
    let ca_type = parse(ca_type)?;
    let cluster = if cluster.is_empty() { auth.cluster() } else { cluster };
    let authority = auth.store.repository::<CertAuthority>().fetch_in(ca_type.as_str(), cluster).await?;
    Ok(authority.without_secrets())
}
