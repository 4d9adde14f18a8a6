//! Rotation: new keys for an authority, in phases. Known by name, not built.

use domain::{Error, Kind};
use rbac::{RuleContext, Verb};

use super::parse;
use crate::{Auth, Caller, Operation, decide::Asked};

/// Refuses a rotation by name, after asking whether the caller might.
///
/// # Errors
/// Always: denied, invalid for an unknown type, unsupported.
pub fn rotate(auth: &Auth, caller: &Caller, ca_type: &str) -> Result<(), Error> {
    let asked =
        Asked { operation: Operation::UpsertAuthority, kind: Kind::CertAuthority, verb: Verb::Rotate, name: ca_type };
    auth.require(caller, &asked, &RuleContext::NONE)?;
    let ca_type = parse(ca_type)?;
    Err(Error::unsupported(format!("rotation of the {ca_type} certificate authority is not supported yet")))
}
