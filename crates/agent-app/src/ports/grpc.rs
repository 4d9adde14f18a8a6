//! The ports over the API, with the identity of this host.

use std::sync::Arc;

use agent::Host;
use api::{
    convert::Wire as _,
    r#gen::{
        proto,
        tessera::v1::{
            AppAssertionRequest, AppSessionDialDenied, AppSessionLiveRequest, AppSessionReport,
            AppSessionReportRequest, AppSessionRequestCount, AppSessionRequests, app_session_report::Seen,
        },
    },
    methods::{
        proto::auth_service::{DeleteApplicationServer, UpsertApplicationServer},
        tessera::v1::app_sessions::{Assertion as AskAssertion, Live as AskLive, Report as TakeReports},
    },
};
use async_trait::async_trait;
use clock::Timestamp;
use crypto::SecretString;
use domain::{Error, resources::app_server::AppServer};

use super::{Assertion, Assertions, Happened, Journal, Live, Ports, Presence, Report, Requests, Sessions};

/// Asks auth, as this host.
pub struct Grpc(Host);

impl Ports {
    /// All ports over the API, with the identity of this host.
    pub fn grpc(host: &Host) -> Self {
        let grpc = Arc::new(Grpc(host.clone()));
        Self {
            sessions: Arc::clone(&grpc) as _,
            assertions: Arc::clone(&grpc) as _,
            presence: Arc::clone(&grpc) as _,
            changes: Arc::clone(&grpc) as _,
            journal: grpc,
        }
    }
}

impl Grpc {
    pub(super) fn host(&self) -> &Host {
        &self.0
    }
}

fn time(wire: Option<prost_types::Timestamp>) -> Result<Timestamp, Error> {
    let garbled = || Error::unavailable("the server's answer has no time in it");
    let wire = wire.ok_or_else(garbled)?;
    Timestamp::new(wire.seconds, wire.nanos).map_err(|_| garbled())
}

#[async_trait]
impl Sessions for Grpc {
    async fn live(&self, session_id: &str) -> Result<Option<Live>, Error> {
        let request = AppSessionLiveRequest { session_id: session_id.to_owned() };
        let answer = self.0.client().await?.call::<AskLive>(request).await?;
        if !answer.live {
            return Ok(None);
        }
        let target_port = u16::try_from(answer.target_port).unwrap_or(0);
        Ok(Some(Live { not_after: time(answer.not_after)?, target_port }))
    }
}

#[async_trait]
impl Assertions for Grpc {
    async fn assertion(&self, session_id: &str, app: &str) -> Result<Assertion, Error> {
        let request = AppAssertionRequest { session_id: session_id.to_owned(), app_name: app.to_owned() };
        let answer = self.0.client().await?.call::<AskAssertion>(request).await?;
        Ok(Assertion { token: SecretString::new(answer.token), expires: time(answer.expires)? })
    }
}

#[async_trait]
impl Presence for Grpc {
    async fn announce(&self, server: AppServer) -> Result<(), Error> {
        let request = proto::UpsertApplicationServerRequest { server: Some(server.to_wire()) };
        self.0.client().await?.call::<UpsertApplicationServer>(request).await.map(|_| ())
    }

    async fn withdraw(&self, host_id: &str, app: &str) -> Result<(), Error> {
        let request = proto::DeleteApplicationServerRequest {
            namespace: String::new(),
            host_id: host_id.to_owned(),
            name: app.to_owned(),
        };
        self.0.client().await?.call::<DeleteApplicationServer>(request).await
    }
}

#[async_trait]
impl Journal for Grpc {
    async fn report(&self, reports: &[Report]) -> Result<(), Error> {
        let request = AppSessionReportRequest { reports: reports.iter().map(to_wire).collect() };
        self.0.client().await?.call::<TakeReports>(request).await.map(|_| ())
    }
}

fn to_wire(report: &Report) -> AppSessionReport {
    let seen = match &report.what {
        Happened::Refused(reason) => Seen::Refused(reason.clone()),
        Happened::Chunk(id) => Seen::Chunk(id.clone()),
        Happened::Cut(reason) => Seen::Cut(reason.clone()),
        Happened::Requests(chunk, requests) => {
            let count = |like: &Requests| AppSessionRequestCount {
                method: like.method.clone(),
                path: like.path.clone(),
                status_code: like.status.into(),
                count: like.count,
            };
            Seen::Requests(AppSessionRequests {
                chunk_id: chunk.clone(),
                requests: requests.iter().map(count).collect(),
            })
        }
        Happened::DialDenied(denied) => Seen::DialDenied(AppSessionDialDenied {
            target_host: denied.target_host.clone(),
            target_port: denied.target_port.into(),
            resolved_ips: denied.resolved.iter().map(ToString::to_string).collect(),
            blocked_ip: denied.blocked.address.to_string(),
            blocked_prefix: denied.blocked.prefix.clone(),
            policy: denied.blocked.policy.to_owned(),
        }),
    };
    AppSessionReport {
        certificate: report.session.certificate().der().to_vec(),
        client_addr: report.source.map(|source| source.to_string()).unwrap_or_default(),
        seen: Some(seen),
    }
}
