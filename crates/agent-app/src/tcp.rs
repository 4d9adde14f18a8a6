//! TCP applications: bytes both ways.

use std::sync::Arc;

use hyper::rt::Executor as _;
use net::BoxIo;
use tokio::io::copy_bidirectional_with_sizes;

use crate::{connection, dial::DialError, guard::Guard, ports::DialDenied};

/// Bytes on the way in each direction.
const BUFFER: usize = 64 * 1024;

/// Serves a TCP application to a session. Nobody could read a refusal: the connection is closed instead.
pub(crate) async fn serve(mut io: BoxIo, guard: &Arc<Guard>) {
    let (served, live) = match guard.check().await {
        Ok(found) => found,
        Err(refusal) => return guard.log_refusal(&refusal),
    };
    let (app, sid) = (served.app.name(), guard.session().sid());
    let Some(port) = served.app.document().tcp_port(live.target_port).filter(|_| served.app.is_tcp()) else {
        tracing::info!(app, sid, port = live.target_port, "the application has no such port");
        return;
    };
    let mut application = match served.dialler.dial(port, false).await {
        Ok(application) => application,
        Err(error) => {
            tracing::warn!(app, sid, %error, "the application cannot be reached");
            if let DialError::Blocked { resolved, blocked } = &error {
                guard.report(DialDenied::of(&served, port, resolved, blocked));
            }
            return;
        }
    };
    guard.note_connection();
    connection::guarded(guard, |tasks| async move {
        tasks.execute(async move {
            if let Err(error) = copy_bidirectional_with_sizes(&mut io, &mut application, BUFFER, BUFFER).await {
                tracing::debug!(%error, "a connection to a TCP application broke");
            }
        });
    })
    .await;
}
