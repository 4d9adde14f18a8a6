//! Applications, and the agents that serve them. Stored and listed; serving them is another part's work.

pub mod create;
pub mod delete;
pub mod list;
pub mod query;
pub mod read;
pub mod servers;
pub mod update;

mod addresses;

use audit::{
    AppMetadata,
    events::app::{AppCreate, AppUpdate},
};
use domain::{Error, Kind, metadata::ORIGIN, resources::App};
use rbac::{Family, RuleContext, Verb};
use store::Change;

use crate::{
    Auth, Caller, Operation,
    decide::Asked,
    guard::{Guard, Written},
};

impl Written for App {
    fn settle(&mut self, _: Option<&Self>, _: &Guard<'_>) -> Result<(), Error> {
        self.metadata.labels.entry(ORIGIN.to_owned()).or_insert_with(|| "dynamic".to_owned());
        Ok(())
    }

    fn record(&self, change: Change, old: Option<&Self>, guard: &Guard<'_>) -> Change {
        let (resource, user, connection) =
            (guard.resource(self), guard.caller.user_metadata(), guard.caller.connection());
        let app = AppMetadata {
            app_uri: self.spec.uri.clone(),
            app_public_addr: self.spec.public_addr.clone(),
            app_labels: self.all_labels().into_owned(),
            app_name: self.metadata.name.clone(),
        };
        match old {
            None => change.event(&AppCreate { user, resource, app, connection }),
            Some(_) => change.event(&AppUpdate { user, resource, app, connection }),
        }
    }
}

/// Asks for verbs that every identity has unless a role denies them; what it then sees, its labels decide.
fn permit_reading(auth: &Auth, caller: &Caller, operation: Operation, kind: Kind, verbs: &[Verb]) -> Result<(), Error> {
    for &verb in verbs {
        auth.require_undenied(caller, &Asked { operation, kind, verb, name: "" }, &RuleContext::NONE)?;
    }
    Ok(())
}

/// Whether the caller may reach an application at all. A part of the system has no labels: its rules decide alone.
pub(crate) fn is_reachable(caller: &Caller, app: &App) -> bool {
    match caller.system_role() {
        Some(_) => caller.access().check_rule(&RuleContext::of(app), Kind::App, Verb::Read).allowed,
        None => caller.access().check_labels(Family::App, &app.all_labels()).allowed,
    }
}

/// Nobody makes, changes or removes an application that he could not reach himself.
fn require_reach(auth: &Auth, caller: &Caller, operation: Operation, verb: Verb, app: &App) -> Result<(), Error> {
    if caller.system_role().is_some() {
        return Ok(());
    }
    let asked = Asked { operation, kind: Kind::App, verb, name: &app.metadata.name };
    auth.enforce(caller, &asked, caller.access().check_labels(Family::App, &app.all_labels()))
}
