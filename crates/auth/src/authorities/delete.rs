//! An authority of another cluster is no longer trusted.

use audit::{ResourceMetadata, events::cert::AuthorityDelete};
use domain::{Error, Kind, resources::CertAuthority};
use rbac::{RuleContext, Verb};

use super::parse;
use crate::{Auth, Caller, Operation, decide::Asked};

/// Deletes an authority of another cluster.
///
/// # Errors
/// Denied, not found; invalid for our own authorities, without which nobody could be let in again.
pub async fn delete(auth: &Auth, caller: &Caller, ca_type: &str, cluster: &str) -> Result<(), Error> {
    let asked =
        Asked { operation: Operation::DeleteAuthority, kind: Kind::CertAuthority, verb: Verb::Delete, name: ca_type };
    auth.require(caller, &asked, &RuleContext::NONE)?;
    let ca_type = parse(ca_type)?;
    if cluster.is_empty() || cluster == auth.cluster() {
        return Err(Error::invalid(format!("the cluster's own {ca_type} certificate authority cannot be deleted")));
    }
    let event = AuthorityDelete {
        resource: ResourceMetadata::new(cluster, None, caller.name()),
        user: caller.user_metadata(),
        connection: caller.connection(),
        ca_type: ca_type.as_str().to_owned(),
    };
    let change = auth.store.change().delete_in::<CertAuthority>(ca_type.as_str(), cluster);
    change.event(&event).commit().await.map(|_| ())
}
