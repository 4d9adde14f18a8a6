//! The audit log: what was denied, what happened, and the proof that nothing is missing.

pub mod chain;
pub(crate) mod denials;
pub mod emit;
pub mod export;
pub mod search;
pub mod verify;

use domain::{Error, Kind};
use rbac::{RuleContext, Verb};

use crate::{Auth, Caller, Operation, decide::Asked};

fn permit(auth: &Auth, caller: &Caller, operation: Operation, verbs: &[Verb]) -> Result<(), Error> {
    for &verb in verbs {
        auth.require(caller, &Asked { operation, kind: Kind::Event, verb, name: "" }, &RuleContext::NONE)?;
    }
    Ok(())
}
