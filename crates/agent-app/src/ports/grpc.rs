//! The ports over the API, with the identity of this host.

use std::sync::Arc;

use agent::Host;
use api::{
    convert::Wire as _,
    r#gen::{
        proto,
        tessera::v1::{AppAssertionRequest, AppSessionLiveRequest},
    },
    methods::{
        proto::auth_service::{DeleteApplicationServer, UpsertApplicationServer},
        tessera::v1::app_sessions::{Assertion as AskAssertion, Live as AskLive},
    },
};
use async_trait::async_trait;
use clock::Timestamp;
use crypto::SecretString;
use domain::{Error, resources::app_server::AppServer};

use super::{Assertion, Assertions, DialDenied, Journal, Live, Ports, Presence, Sessions};
use crate::Session;

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
        let token = Arc::new(SecretString::new(answer.token));
        Ok(Assertion { token, expires: time(answer.expires)? })
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

/// The API has no event for this yet; until then the log of the agent tells it, with the same fields.
#[async_trait]
impl Journal for Grpc {
    async fn dial_denied(&self, session: &Session, denied: DialDenied) {
        tracing::warn!(
            event = "app.session.target.dial.denied",
            user = session.user(),
            sid = session.sid(),
            app_name = denied.app,
            target_host = denied.target_host,
            target_port = denied.target_port,
            resolved_ips = ?denied.resolved,
            blocked_ip = %denied.blocked.address,
            blocked_prefix = denied.blocked.prefix,
            policy = denied.blocked.policy,
            "an application is at an address that this agent may not dial"
        );
    }
}
