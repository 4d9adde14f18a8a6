//! The agents that serve applications: each says every few minutes that it is there.

use std::time::Duration;

use audit::events::app::AppServerJoin;
use clock::Timestamp;
use domain::{
    Error, Kind, Resource as _,
    resources::{App, AppServer},
    role::SystemRole,
};
use rbac::{RuleContext, Verb};
use storage::Key;
use store::{Change, Keyed as _, ListRequest, MAX_PAGE_SIZE, Page};

use super::{
    addresses, is_reachable, permit_reading,
    query::{Asked as Wanted, Query},
};
use crate::{Auth, Caller, Operation, app_sessions::create::metadata, decide::Asked};

/// How long a server is listed after it last said that it is there, unless it says how long.
pub const PRESENCE: Duration = Duration::from_secs(600);

/// The shortest: two announcements. An agent's clock may be behind by almost as much as it asks for.
const SHORTEST: Duration = Duration::from_secs(120);

/// The longest that a server may ask to be listed: a dead one must not be offered for days.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The servers of one answer; a page of them must fit a message.
const PAGE: usize = 1000;

/// A page of a list that may be sorted and counted.
#[derive(Debug)]
pub struct Servers {
    /// The servers.
    pub items: Vec<AppServer>,
    /// What to ask for the next page with; empty at the end.
    pub next_page_token: String,
    /// How many match in all, when that was asked for or is known anyway.
    pub total: Option<usize>,
}

/// For how long the audit log has been told that a host serves what others serve.
const TOLD: Duration = Duration::from_secs(24 * 3600);

/// Where it is remembered.
const COMPANION: &str = "tessera_app_companion";

/// Stores what an agent says about itself and an application. It comes every few minutes from each, so it is not audited,
/// but when a host begins to serve what others serve: requests are shared among all of them.
///
/// # Errors
/// Denied, also for an agent that speaks for another host; invalid; already exists for the address of another application.
pub async fn upsert(auth: &Auth, caller: &Caller, mut server: AppServer) -> Result<AppServer, Error> {
    for verb in [Verb::Create, Verb::Update] {
        permit(auth, caller, Operation::UpsertAppServer, verb, &server.metadata.name)?;
    }
    refuse_other_host(caller, &server.spec.host_id)?;
    server.set_defaults();
    server.validate()?;
    server.metadata.expires = Some(presence(auth, server.metadata.expires));
    let app = server.spec.app.as_ref().ok_or_else(|| Error::invalid("spec.app: must not be left out"))?;
    if app.metadata.name != server.metadata.name {
        let (name, app) = (&server.metadata.name, &app.metadata.name);
        return Err(Error::invalid(format!("metadata.name: {name:?} must be the name of the application, {app:?}")));
    }
    let known = auth.store.repository::<AppServer>().get_in(&server.spec.host_id, &server.metadata.name).await?;
    let address = |server: &AppServer| server.spec.app.as_ref().map(|app| app.spec.public_addr.clone());
    if known.as_ref().is_none_or(|known| address(known) != address(&server)) {
        addresses::refuse_own(auth, app).await?;
        addresses::refuse_taken(auth, &server, app).await?;
    }
    let mut change = auth.store.change();
    if known.is_none() && has_companions(auth, &server) {
        change = tell(auth, caller, change, &server, app).await?;
    }
    let receipt = change.upsert(&server)?.commit().await?;
    Ok(receipt.stamp(server))
}

/// Whether other hosts serve the same application.
fn has_companions(auth: &Auth, server: &AppServer) -> bool {
    let is_other =
        |other: &AppServer| other.metadata.name == server.metadata.name && other.spec.host_id != server.spec.host_id;
    auth.cache.snapshot().app_servers().any(|other| is_other(other))
}

/// Adds to the audit log, at most once a day for each host and application, that a host serves what others serve.
async fn tell(auth: &Auth, caller: &Caller, change: Change, server: &AppServer, app: &App) -> Result<Change, Error> {
    let host = &server.spec.host_id;
    let key = Key::with_sub(COMPANION, app.metadata.name.clone(), host.clone());
    if auth.store.record(&key).await?.is_some() {
        return Ok(change);
    }
    let event = AppServerJoin {
        user: caller.user_metadata(),
        connection: caller.connection(),
        app: metadata(app, &app.spec.public_addr),
        server_id: host.clone(),
    };
    let until = auth.clock.now().saturating_add(TOLD).unwrap_or(Timestamp::MAX);
    Ok(change.put_record(key, Vec::new(), Some(until)).event(&event))
}

/// An agent says again that it is there: what it said before stays listed until `expires`.
///
/// # Errors
/// Denied; not found when it must be announced anew.
pub async fn keep_alive(
    auth: &Auth,
    caller: &Caller,
    host: &str,
    name: &str,
    expires: Option<Timestamp>,
) -> Result<(), Error> {
    permit(auth, caller, Operation::UpsertAppServer, Verb::Update, name)?;
    refuse_other_host(caller, host)?;
    let mut server = auth.store.repository::<AppServer>().fetch_in(host, name).await?;
    server.metadata.expires = Some(presence(auth, expires));
    auth.store.change().update(&server)?.commit().await.map(|_| ())
}

/// Removes a server.
///
/// # Errors
/// Denied, not found.
pub async fn delete(auth: &Auth, caller: &Caller, host: &str, name: &str) -> Result<(), Error> {
    permit(auth, caller, Operation::DeleteAppServer, Verb::Delete, name)?;
    refuse_other_host(caller, host)?;
    auth.store.change().delete_in::<AppServer>(host, name).commit().await.map(|_| ())
}

/// Removes all servers that the caller speaks for; an administrator removes all there are.
///
/// # Errors
/// Denied.
pub async fn delete_all(auth: &Auth, caller: &Caller) -> Result<(), Error> {
    for verb in [Verb::List, Verb::Delete] {
        permit(auth, caller, Operation::DeleteAppServer, verb, "")?;
    }
    for server in auth.store.all::<AppServer>().await? {
        if refuse_other_host(caller, &server.spec.host_id).is_ok() {
            let change = auth.store.change().delete_if_present::<AppServer>(&server.spec.host_id, server.name());
            change.commit().await?;
        }
    }
    Ok(())
}

/// A page of the servers whose applications the caller can reach.
///
/// # Errors
/// Denied; invalid query, sort field or page token.
pub async fn list(
    auth: &Auth,
    caller: &Caller,
    page_size: usize,
    page_token: &str,
    wanted: Wanted,
    needs_total: bool,
) -> Result<Servers, Error> {
    permit_reading(auth, caller, Operation::ReadAppServers, Kind::AppServer, &[Verb::List, Verb::Read])?;
    let query = Query::parse(wanted)?;
    let is_wanted = |server: &AppServer| {
        server.spec.app.as_ref().is_some_and(|app| is_reachable(caller, app) && query.matches(app))
    };
    let repository = auth.store.repository::<AppServer>();
    if !query.is_ordered() && !needs_total {
        let request = ListRequest { page_size, page_token, group: None };
        let Page { items, next_page_token } = repository.list(&request, is_wanted).await?;
        return Ok(Servers { items, next_page_token, total: None });
    }
    let mut all: Vec<AppServer> = repository.all().await?.into_iter().filter(is_wanted).collect();
    if query.is_ordered() {
        all.sort_by(|a, b| query.compare(a, b));
    }
    cut(all, page_size, page_token)
}

/// One page of a list that is known whole.
fn cut(all: Vec<AppServer>, page_size: usize, page_token: &str) -> Result<Servers, Error> {
    let total = all.len();
    let size = if page_size == 0 { PAGE } else { page_size.min(MAX_PAGE_SIZE) };
    let token = |server: &AppServer| format!("{}/{}", server.group(), server.name());
    let begin = match page_token {
        "" => 0,
        last => {
            let at = all.iter().position(|server| token(server) == last);
            at.ok_or_else(|| Error::invalid("the page token does not belong to this list: begin without one"))? + 1
        }
    };
    let items: Vec<AppServer> = all.into_iter().skip(begin).take(size).collect();
    let is_last = begin + items.len() >= total;
    let next_page_token = items.last().filter(|_| !is_last).map(token).unwrap_or_default();
    Ok(Servers { items, next_page_token, total: Some(total) })
}

fn permit(auth: &Auth, caller: &Caller, operation: Operation, verb: Verb, name: &str) -> Result<(), Error> {
    auth.require(caller, &Asked { operation, kind: Kind::AppServer, verb, name }, &RuleContext::NONE)
}

/// An agent speaks for its own host only; otherwise one stolen agent could move every application to itself.
pub(crate) fn refuse_other_host(caller: &Caller, host: &str) -> Result<(), Error> {
    match caller.system_role() {
        None | Some(SystemRole::Admin | SystemRole::Auth) => Ok(()),
        Some(_) if caller.identity().host_id() == Some(host) => Ok(()),
        Some(_) => Err(Error::denied("access denied: an agent speaks for its own host only")),
    }
}

fn presence(auth: &Auth, asked: Option<Timestamp>) -> Timestamp {
    let now = auth.clock.now();
    let until = |span| now.saturating_add(span).unwrap_or(Timestamp::MAX);
    asked.filter(|end| *end > now).map_or_else(|| until(PRESENCE), |end| end.clamp(until(SHORTEST), until(LONGEST)))
}
