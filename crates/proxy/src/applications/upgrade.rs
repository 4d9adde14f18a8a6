//! Streams that last: WebSockets and other upgraded connections, and TCP applications. They end with their session.

use std::sync::Arc;

use http::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    sync::watch,
};

use super::credential::Credential;
use crate::{Proxy, body::Body, sessions::BELIEVED};

/// Read at once, each way.
const BUFFER: usize = 32 * 1024;

/// After both sides have agreed on another protocol: carries its bytes, in a task of its own.
pub(crate) fn carry(
    proxy: &Arc<Proxy>,
    credential: Credential,
    app: String,
    client: OnUpgrade,
    answer: &mut Response<Body>,
) {
    let agent = hyper::upgrade::on(answer);
    let (proxy, tasks) = (Arc::clone(proxy), proxy.tasks.clone());
    tasks.spawn(async move {
        match tokio::try_join!(client, agent) {
            Ok((client, agent)) => {
                carry_while_live(&proxy, &credential, &app, TokioIo::new(client), TokioIo::new(agent)).await;
            }
            Err(error) => tracing::debug!(%error, "an upgraded connection broke before it began"),
        }
    });
}

/// Carries bytes both ways until both sides have ended, or the session has.
pub(crate) async fn carry_while_live(
    proxy: &Proxy,
    credential: &Credential,
    app: &str,
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut agent: impl AsyncRead + AsyncWrite + Unpin,
) {
    tokio::select! {
        carried = copy_bidirectional_with_sizes(&mut client, &mut agent, BUFFER, BUFFER) => {
            if let Err(error) = carried {
                tracing::debug!(%error, app, "a stream broke");
            }
        }
        () = ended(proxy, credential, app) => tracing::info!(app, "a stream was cut off: its session has ended"),
    }
}

/// Waits until the client may use the session no more.
async fn ended(proxy: &Proxy, credential: &Credential, app: &str) {
    let mut forgotten = proxy.sessions.forgotten();
    // At once for the first time: it may have ended while the stream was made.
    while credential.session(proxy, app).await.is_ok() {
        again(proxy, &mut forgotten).await;
    }
}

/// Waits until sessions are to be looked at again.
pub(crate) async fn again(proxy: &Proxy, forgotten: &mut watch::Receiver<u64>) {
    tokio::select! {
        () = proxy.ports.clock.sleep(BELIEVED) => {}
        Ok(()) = forgotten.changed() => {}
    }
}
