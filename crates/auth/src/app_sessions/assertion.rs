//! The word about a session that an application gets: a token, signed by the cluster, for this application alone.

use std::time::Duration;

use clock::Timestamp;
use domain::{
    Error,
    error::Kind as ErrorKind,
    resources::{App, AppServer},
    role::SystemRole,
};
use rbac::Verb;
use serde_json::{Map, Value, json};

use super::{Alive, SessionId, alive, checked, gone, record, require_part};
use crate::{Auth, Caller, Operation, failure::internal};

/// How far before now the token begins to be good: an application whose clock is behind would refuse it otherwise.
const LEEWAY: Duration = Duration::from_secs(60);

/// A signed token.
#[derive(Debug)]
pub struct Assertion {
    /// The token.
    pub token: String,
    /// When it ends: with the session.
    pub expires: Timestamp,
}

/// Signs for a session that lives, on an application that the caller's host announces.
///
/// # Errors
/// Denied to all but agents of applications, and for what the agent does not serve; not found when the session is over or is
/// one with another application.
pub async fn assertion(auth: &Auth, caller: &Caller, id: &SessionId, app: &str) -> Result<Assertion, Error> {
    permit(auth, caller)?;
    let alive = alive(auth, id).await?.filter(|alive| alive.record.app == app).ok_or_else(gone)?;
    let served = served(auth, caller, |served| served.metadata.name == app);
    sign(auth, &alive, served.first().ok_or_else(not_served)?).await
}

/// The same for a caller that knows the user and the address only: there must be a session of that user with an application
/// at that address, and what the token says is what the session says.
///
/// # Errors
/// As [`assertion`].
pub async fn assertion_for_user(auth: &Auth, caller: &Caller, user: &str, uri: &str) -> Result<Assertion, Error> {
    permit(auth, caller)?;
    // Several applications may be at one address.
    let served = served(auth, caller, |served| served.spec.uri == uri);
    if served.is_empty() {
        return Err(not_served());
    }
    let app_of = |name: &str| served.iter().find(|app| app.metadata.name == name);
    for hash in record::with(auth, user, |name| app_of(name).is_some()).await? {
        let found = record::read(auth, &hash).await;
        let alive = match found.and_then(|found| found.map_or(Ok(None), |record| checked(auth, record))) {
            // One that is damaged does not stand in the way of the others.
            Err(error) if error.kind() == ErrorKind::Internal => {
                tracing::warn!(user, %error, "a session with an application is passed over");
                None
            }
            other => other?,
        };
        if let Some(alive) = alive
            && let Some(app) = app_of(&alive.record.app)
        {
            return sign(auth, &alive, app).await;
        }
    }
    Err(gone())
}

fn permit(auth: &Auth, caller: &Caller) -> Result<(), Error> {
    require_part(auth, caller, Operation::SignAppAssertion, Verb::ReadNoSecrets, &[SystemRole::App])
}

fn not_served() -> Error {
    Error::denied("access denied: this host does not announce such an application")
}

/// What the caller's host announces now. Only the administrator of this machine speaks for every host.
fn served(auth: &Auth, caller: &Caller, is_wanted: impl Fn(&App) -> bool) -> Vec<App> {
    let host = caller.identity().host_id().unwrap_or_default();
    let is_own = |server: &AppServer| caller.is_local_admin() || server.spec.host_id == host;
    let snapshot = auth.cache.snapshot();
    let apps = snapshot.app_servers().filter(|server| is_own(server)).filter_map(|server| server.spec.app.as_ref());
    apps.filter(|app| is_wanted(app)).cloned().collect()
}

async fn sign(auth: &Auth, alive: &Alive, app: &App) -> Result<Assertion, Error> {
    let now = auth.clock.now();
    let (identity, expires) = (&alive.identity, alive.record.not_after);
    let mut claims = Map::new();
    let mut say = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    say("sub", json!(identity.username));
    say("username", json!(identity.username));
    say("iss", json!(auth.cluster()));
    say("aud", json!([app.spec.uri]));
    say("iat", json!(now.as_second()));
    say("nbf", json!(now.saturating_sub(LEEWAY).unwrap_or(now).as_second()));
    say("exp", json!(expires.as_second()));
    let wanted = app.spec.rewrite.as_ref().map_or("", |rewrite| rewrite.jwt_claims.as_str());
    if matches!(wanted, "" | "roles-and-traits" | "roles") {
        say("roles", json!(identity.roles));
    }
    if matches!(wanted, "" | "roles-and-traits" | "traits") {
        say("traits", json!(identity.traits));
    }
    let signers = auth.signers()?;
    let token = ca::jwt::sign(&claims, &signers.jwt, &*auth.keystore)
        .await
        .map_err(|error| internal("an assertion cannot be signed", error))?;
    Ok(Assertion { token, expires })
}
