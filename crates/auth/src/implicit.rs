//! What every identity of the cluster may read without a rule of its own, unless one of its roles denies it.

use domain::Error;
use rbac::{Reason, RuleContext};

use crate::{Auth, Caller, decide::Asked};

impl Auth {
    /// Lets a known caller go on unless a role of it denies this.
    ///
    /// For what everybody in the cluster must know to be part of it: whom to trust, how to authenticate, its name.
    ///
    /// # Errors
    /// Denied, also for a caller that nobody knows.
    pub(crate) fn require_undenied(
        &self,
        caller: &Caller,
        asked: &Asked<'_>,
        context: &RuleContext<'_>,
    ) -> Result<(), Error> {
        let decision = caller.access().check_rule(context, asked.kind, asked.verb);
        match &decision.reason {
            Reason::NoneAllowed { .. } if !caller.is_anonymous() => Ok(()),
            _ => self.enforce(caller, asked, decision),
        }
    }
}
