//! Agents that attach, and other proxies: connections of hosts, known by their host certificates.

use std::{io, sync::Arc};

use async_trait::async_trait;
use crypto::x509::Certificate;
use domain::{identity::Identity, role::SystemRole};
use rbac::locks::LockSubject;
use rustls::CommonState;
use tokio::io::copy_bidirectional_with_sizes;
use tokio_util::sync::CancellationToken;
use tunnel::{
    Open, Stream, Switchboard, Transport,
    link::{self, Serve},
};

use crate::{
    Proxy,
    applications::{
        places::{Full, Holder, Place, Places},
        pool::Pool,
    },
    view::Authorities,
};

/// Read at once, each way, of a stream that is carried between proxies.
const BUFFER: usize = 32 * 1024;

/// A host that has proved who it is, and what.
pub(crate) struct Host {
    id: String,
    role: SystemRole,
    certificate: Certificate,
    /// The authorities by which it was found good last: its signature is checked again only when they change.
    trusted_by: Option<Arc<Authorities>>,
}

impl Host {
    /// The host at the other end; the handshake has verified its certificate against the host authorities. The services of
    /// a machine share its id and the name of that; by their role alone none can pass for another one.
    ///
    /// # Errors
    /// There is no host of the cluster, or one of another role.
    pub(crate) fn of(connection: &CommonState, cluster: &str, role: SystemRole) -> io::Result<Self> {
        let read = || {
            let leaf = connection.peer_certificates()?.first()?;
            let certificate = Certificate::from_der(leaf).ok()?;
            let identity = Identity::from_subject(certificate.subject()).ok()?;
            Some((identity, certificate)).filter(|(identity, _)| identity.teleport_cluster == cluster)
        };
        let invalid = |words: String| io::Error::new(io::ErrorKind::InvalidData, words);
        let none = || invalid("no host certificate of this cluster was shown".to_owned());
        let (identity, certificate) = read().ok_or_else(none)?;
        let (shown, id) = identity.system_role().zip(identity.host_id()).ok_or_else(none)?;
        if shown != role {
            return Err(invalid(format!(
                "the host {id} has shown a certificate of the role {shown}, {role} is needed"
            )));
        }
        Ok(Self { id: id.to_owned(), role, certificate, trusted_by: None })
    }

    /// Waits until the host may not be connected any more: its certificate has expired, its authority is not trusted any
    /// longer, a lock hits it.
    async fn is_over(&mut self, proxy: &Proxy) -> io::Error {
        let mut changed = proxy.view.changed();
        loop {
            changed.borrow_and_update();
            if let Err(reason) = self.check(proxy) {
                return refused(reason);
            }
            tokio::select! {
                Ok(()) = changed.changed() => {}
                () = proxy.ports.clock.sleep_until(self.certificate.not_after()) => {}
            }
        }
    }

    fn check(&mut self, proxy: &Proxy) -> Result<(), String> {
        let now = proxy.ports.clock.now();
        if self.certificate.not_after() <= now {
            return Err("its certificate has expired".to_owned());
        }
        let authorities = proxy.view.authorities();
        let is_known = self.trusted_by.as_ref().is_some_and(|trusted| Arc::ptr_eq(trusted, &authorities));
        let is_signed_by = |authority| self.certificate.verify_signed_by(authority).is_ok();
        // Until the cluster is heard, the handshake's judgement stands.
        if !is_known && !authorities.host.is_empty() && !authorities.host.iter().any(is_signed_by) {
            return Err("its authority is not trusted any more".to_owned());
        }
        self.trusted_by = Some(authorities);
        let long = format!("{}.{}", self.id, proxy.config.cluster);
        let subject = LockSubject {
            user: &long,
            roles: vec![self.role.as_str()],
            server_ids: vec![&self.id, &long],
            ..LockSubject::default()
        };
        proxy.view.lock_on(&subject, now).map_or(Ok(()), Err)
    }
}

/// Holds an agent's link, until it ends, the agent may not be connected any more, or has gone elsewhere after `stop`.
pub(crate) async fn attach(
    proxy: &Proxy,
    mut host: Host,
    transport: Transport,
    stop: CancellationToken,
) -> io::Result<()> {
    host.check(proxy).map_err(refused)?;
    let id = host.id.clone();
    tracing::debug!(host = id, "a link of an agent begins");
    let ended = tokio::select! {
        ended = proxy.switchboard.attach(&id, transport, stop) => ended,
        over = host.is_over(proxy) => {
            tracing::warn!(host = id, reason = %over, "an agent's link was ended");
            Err(over)
        }
    };
    tracing::debug!(host = id, "a link of an agent has ended");
    ended
}

/// Serves the streams that another proxy opens to our agents.
pub(crate) async fn serve_peer(
    proxy: &Proxy,
    mut host: Host,
    transport: Transport,
    stop: CancellationToken,
) -> io::Result<()> {
    host.check(proxy).map_err(refused)?;
    let (switchboard, places, pool) = (proxy.switchboard.clone(), Arc::clone(&proxy.places), Arc::clone(&proxy.pool));
    let serve = Arc::new(Onward { switchboard, places, pool, peer: host.id.clone() });
    tokio::select! {
        ended = link::serve(transport, serve, &proxy.ports.clock, stop) => ended,
        over = host.is_over(proxy) => {
            tracing::warn!(reason = %over, "another proxy's link was ended");
            Err(over)
        }
    }
}

fn refused(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, words)
}

/// Carries a peer's streams on to our own agents, never to a third proxy.
struct Onward {
    switchboard: Switchboard,
    places: Arc<Places>,
    pool: Arc<Pool>,
    /// Whose streams these are, where it does not say whose they are there.
    peer: String,
}

impl Onward {
    /// A place beside those of the users of this proxy.
    fn place(&self, open: &Open, agent: &str) -> Result<Arc<Place>, Full> {
        let share = open.share.as_ref().unwrap_or(&self.peer).as_str().into();
        let holder = Holder { share, peer: Some(self.peer.as_str().into()) };
        self.pool.place(&self.places, &holder, &agent.into())
    }
}

#[async_trait]
impl Serve for Onward {
    async fn admit(&self, open: &Open) -> Result<(), String> {
        // What is said on other streams, an agent takes for the word of its own proxy.
        if open.service != tunnel::APPLICATIONS {
            return Err(format!("no stream for {:?} is carried on", open.service));
        }
        match &open.agent {
            Some(agent) if self.switchboard.is_connected(agent) => {
                self.place(open, agent).map(drop).map_err(|full| full.to_string())
            }
            Some(agent) => Err(format!("no tunnel to host {agent}")),
            None => Err("a stream to no agent".to_owned()),
        }
    }

    async fn serve(&self, open: Open, mut stream: Stream) {
        let Some(agent) = open.agent.clone() else { return };
        let _place = match self.place(&open, &agent) {
            Ok(place) => place,
            Err(full) => return tracing::warn!(%agent, peer = self.peer, %full, "a stream of another proxy is dropped"),
        };
        // What it carries is not for us to prove, nor for it.
        let opened = self.switchboard.open(&agent, &Open { agent: None, share: None, protocol: None, ..open }).await;
        let carried = match opened {
            Ok(mut onward) => copy_bidirectional_with_sizes(&mut stream, &mut onward, BUFFER, BUFFER).await.map(drop),
            Err(error) => Err(io::Error::other(error)),
        };
        if let Err(error) = carried {
            tracing::debug!(%agent, %error, "a stream from another proxy broke");
        }
    }
}
