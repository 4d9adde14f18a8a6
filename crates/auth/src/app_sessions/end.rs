//! Sessions end before their time: a user logs out, an administrator cleans up.

use audit::{AppMetadata, UserMetadata, events::app::AppSessionEnd};
use domain::{Error, Kind, error::Kind as ErrorKind, role::SystemRole};
use rbac::{RuleContext, Verb};
use storage::{Item, JournalEntry};
use store::settle;

use super::{Record, SessionId, gone, record};
use crate::{Auth, Caller, Operation, decide::Asked};

/// Sessions that are looked at in one go.
const PAGE: usize = 200;

/// Ends a session whose id the caller has. Its user may; a proxy may, to which the user said so; and who may delete any.
///
/// # Errors
/// Denied for somebody else's. Not found, also for one that has ended already: nobody finds an id by trying.
pub async fn end(auth: &Auth, caller: &Caller, id: &SessionId) -> Result<(), Error> {
    if caller.is_anonymous() {
        return Err(Error::denied("access denied"));
    }
    let found = record::read(auth, &id.hash()).await?;
    let is_own = caller.is_user() && found.as_ref().is_none_or(|found| found.user == caller.name());
    if !is_own && caller.system_role() != Some(SystemRole::Proxy) {
        permit(auth, caller, &id.shown())?;
    }
    if found.is_none() {
        return Err(gone());
    }
    remove(auth, caller, &id.hash()).await
}

/// Ends all sessions of a user. Users may end their own.
///
/// # Errors
/// Denied; what storage says in the middle, with those before gone.
pub async fn end_all_of(auth: &Auth, caller: &Caller, user: &str) -> Result<(), Error> {
    if !(caller.is_user() && user == caller.name()) {
        permit(auth, caller, "")?;
    }
    every(auth, caller, Some(user)).await
}

/// Ends all sessions of everybody.
///
/// # Errors
/// As [`end_all_of`].
pub async fn end_all(auth: &Auth, caller: &Caller) -> Result<(), Error> {
    permit(auth, caller, "")?;
    every(auth, caller, None).await
}

fn permit(auth: &Auth, caller: &Caller, name: &str) -> Result<(), Error> {
    let asked = Asked { operation: Operation::DeleteAppSession, kind: Kind::WebSession, verb: Verb::Delete, name };
    auth.require(caller, &asked, &RuleContext::NONE)
}

async fn every(auth: &Auth, caller: &Caller, user: Option<&str>) -> Result<(), Error> {
    let mut after: Option<String> = None;
    loop {
        let (records, next) = record::page(auth, user, after.as_deref(), PAGE).await?;
        for found in &records {
            match remove(auth, caller, &found.hash).await {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => other?,
            }
        }
        after = next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn remove(auth: &Auth, caller: &Caller, hash: &str) -> Result<(), Error> {
    settle(|| async {
        let mut change = auth.store.change();
        let found = record::read_for(&mut change, hash).await?.ok_or_else(gone)?;
        record::delete(change, &found).event(&event_by(auth, caller, &found)).commit().await.map(|_| ())
    })
    .await
}

/// The journal entries of sessions among items that are removed because their time is over.
pub(crate) fn expired(auth: &Auth, items: &[Item]) -> Vec<JournalEntry> {
    let records = items.iter().filter_map(record::of_item);
    let event = |record: Record| {
        let event = event(auth, &record);
        auth.store.recorder().entry(&AppSessionEnd { reason: "expired".to_owned(), ..event })
    };
    records.map(event).collect()
}

/// What is recorded of a session that ends because its user has too many newer ones.
pub(super) fn superseded(auth: &Auth, record: &Record) -> AppSessionEnd {
    AppSessionEnd { reason: "too many sessions".to_owned(), ..event(auth, record) }
}

fn event_by(auth: &Auth, caller: &Caller, record: &Record) -> AppSessionEnd {
    AppSessionEnd { connection: caller.connection(), ended_by: caller.name().to_owned(), ..event(auth, record) }
}

fn event(auth: &Auth, record: &Record) -> AppSessionEnd {
    AppSessionEnd {
        user: UserMetadata {
            user: record.user.clone(),
            user_cluster_name: auth.cluster().to_owned(),
            ..record.by.clone()
        },
        app: AppMetadata {
            app_name: record.app.clone(),
            app_uri: record.app_uri.clone(),
            app_public_addr: record.public_addr.clone(),
            ..AppMetadata::default()
        },
        sid: record.sid(),
        server_id: record.server_id.clone(),
        ..AppSessionEnd::default()
    }
}
