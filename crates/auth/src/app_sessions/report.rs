//! What agents and proxies saw of sessions, for the audit log.
//!
//! They name a session by the certificate that they were shown. Whose it is and where it leads is read from that: a stolen
//! agent can write of those who came to it, and of nobody else.

use audit::{
    ConnectionMetadata, Status, UserMetadata,
    events::{
        app::{AppSessionChunk, AppSessionDialDenied, AppSessionEnd, AppSessionRequest, AppSessionStart},
        auth::AuthAttempt,
    },
};
use crypto::x509::Certificate;
use domain::{Error, Kind, Metadata, identity::Identity, resources::App, role::SystemRole};
use rbac::{RuleContext, Verb};
use store::Change;

use super::{SessionId, create};
use crate::{Auth, Caller, Operation, certificates::user, decide::Asked};

/// Reports in one call.
pub const MOST: usize = 256;

/// Merged requests in one report.
pub const MOST_REQUESTS: usize = 128;

/// The longest text that is kept: a path, a reason.
const LONGEST: usize = 256;

/// Events in one commit: below the bound of a batch, with room for their size.
const PER_COMMIT: usize = 48;

/// One thing that was seen.
#[derive(Debug)]
pub struct Report {
    /// What was shown in the handshake.
    pub certificate: Certificate,
    /// Where the client is.
    pub client: String,
    /// What.
    pub seen: Seen,
}

/// See [`Report`].
#[derive(Debug)]
pub enum Seen {
    /// An agent did not let the session in: why.
    Refused(String),
    /// A stretch of requests began, with this id.
    Chunk(String),
    /// The requests of the stretch with this id.
    Requests(String, Vec<Requests>),
    /// A running connection was ended: why.
    Cut(String),
    /// The application is where the agent must not dial.
    DialDenied(DialDenied),
    /// The certificate does not fit the session that it names: why. Proxies see this.
    Mismatch(String),
}

/// Like requests.
#[derive(Debug)]
pub struct Requests {
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The status of the answers.
    pub status: u32,
    /// How many.
    pub count: u64,
}

/// An address that was not dialled.
#[derive(Debug)]
pub struct DialDenied {
    /// The application's host and port.
    pub target: (String, u32),
    /// What the host stands for.
    pub resolved: Vec<String>,
    /// The address that decided.
    pub blocked: String,
    /// The denied range that it is in.
    pub prefix: String,
    /// Which list it was.
    pub policy: String,
}

/// Records what was seen. What cannot be about a session of this cluster is passed over: a report that is refused would be
/// tried again for ever, and keep others from coming.
///
/// # Errors
/// Denied to all but agents and proxies; limit.
pub async fn report(auth: &Auth, caller: &Caller, reports: Vec<Report>) -> Result<(), Error> {
    let asked = Asked { operation: Operation::EmitEvent, kind: Kind::Event, verb: Verb::Create, name: "" };
    auth.require(caller, &asked, &RuleContext::NONE)?;
    let Some(role @ (SystemRole::App | SystemRole::Proxy | SystemRole::Admin)) = caller.system_role() else {
        return Err(Error::denied("access denied"));
    };
    if reports.len() > MOST {
        return Err(Error::limit(format!("at most {MOST} reports at a time")));
    }
    let mut pending = Pending { auth, change: auth.store.change(), events: 0 };
    for report in reports {
        let is_proxys = matches!(report.seen, Seen::Mismatch(_));
        let of_role = role == SystemRole::Admin || is_proxys == (role == SystemRole::Proxy);
        match Context::new(auth, caller, &report).filter(|_| of_role) {
            Some(context) => context.record(report.seen, &mut pending).await?,
            None => tracing::warn!(host = caller.name(), "a report about no session with an application"),
        }
    }
    pending.commit().await
}

/// Events on their way, no more of them at a time than a commit takes.
struct Pending<'a> {
    auth: &'a Auth,
    change: Change,
    events: usize,
}

impl Pending<'_> {
    async fn add(&mut self, event: &impl audit::Event) -> Result<(), Error> {
        let change = std::mem::replace(&mut self.change, self.auth.store.change());
        self.change = change.event(event);
        self.events += 1;
        if self.events >= PER_COMMIT { self.commit().await } else { Ok(()) }
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let change = std::mem::replace(&mut self.change, self.auth.store.change());
        if std::mem::take(&mut self.events) == 0 {
            return Ok(());
        }
        change.commit().await.map(|_| ())
    }
}

/// What all events of a session say.
struct Context {
    user: UserMetadata,
    connection: ConnectionMetadata,
    app: App,
    public_addr: String,
    sid: String,
    server_id: String,
}

impl Context {
    /// None: the certificate is not one that leads to an application of this cluster. It may have expired by now.
    fn new(auth: &Auth, caller: &Caller, report: &Report) -> Option<Self> {
        let (identity, from_host_authority) = auth.trusted_identity(&report.certificate).ok()?;
        let Identity { route_to_app: route, .. } = &identity;
        if from_host_authority || route.session_id.is_empty() || route.name.is_empty() {
            return None;
        }
        let host = caller.identity().host_id().unwrap_or_default();
        let snapshot = auth.cache.snapshot();
        let mut served = snapshot.app_servers().filter(|server| server.spec.host_id == host);
        let app = served.find_map(|server| server.spec.app.clone().filter(|app| app.metadata.name == route.name));
        let unknown = || App { metadata: Metadata::named(route.name.clone()), ..App::default() };
        Some(Self {
            user: user::metadata(&identity),
            connection: ConnectionMetadata::from_remote(bounded(&report.client)),
            app: app.unwrap_or_else(unknown),
            public_addr: route.public_addr.clone(),
            sid: SessionId::new(route.session_id.clone()).shown(),
            server_id: host.to_owned(),
        })
    }

    async fn record(self, seen: Seen, pending: &mut Pending<'_>) -> Result<(), Error> {
        let app = create::metadata(&self.app, &self.public_addr);
        let Self { user, connection, sid, server_id, public_addr, .. } = self;
        match seen {
            Seen::Refused(reason) => {
                let error = Some(bounded(&reason)).filter(|text| !text.is_empty()).unwrap_or_else(|| "refused".into());
                pending.add(&AppSessionStart { user, connection, app, sid, server_id, public_addr, error }).await
            }
            Seen::Chunk(id) => {
                let session_chunk_id = bounded(&id);
                pending.add(&AppSessionChunk { user, connection, app, sid, server_id, session_chunk_id }).await
            }
            Seen::Requests(id, requests) => {
                for like in requests.into_iter().take(MOST_REQUESTS) {
                    let event = AppSessionRequest {
                        user: user.clone(),
                        connection: connection.clone(),
                        app: app.clone(),
                        sid: sid.clone(),
                        server_id: server_id.clone(),
                        session_chunk_id: bounded(&id),
                        status_code: like.status,
                        path: bounded(&like.path),
                        method: bounded(&like.method),
                        count: like.count,
                    };
                    pending.add(&event).await?;
                }
                Ok(())
            }
            Seen::Cut(reason) => {
                let (reason, ended_by) = (bounded(&reason), String::new());
                pending.add(&AppSessionEnd { user, connection, app, sid, server_id, ended_by, reason }).await
            }
            Seen::DialDenied(denied) => {
                let event = AppSessionDialDenied {
                    user,
                    connection,
                    app,
                    sid,
                    server_id,
                    target_host: bounded(&denied.target.0),
                    target_port: denied.target.1,
                    resolved_ips: denied.resolved.iter().take(16).map(|address| bounded(address)).collect(),
                    blocked_ip: bounded(&denied.blocked),
                    blocked_prefix: bounded(&denied.prefix),
                    policy: bounded(&denied.policy),
                };
                pending.add(&event).await
            }
            Seen::Mismatch(reason) => {
                let text = format!("session {sid} with application {:?}: {}", app.app_name, bounded(&reason));
                pending.add(&AuthAttempt { user, connection, status: Status::failed(text) }).await
            }
        }
    }
}

fn bounded(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect()
}
