//! Connections that stop being HTTP: WebSocket and whatever else both sides agree on.

use http::{Response, StatusCode};
use hyper::{
    body::Incoming,
    rt::Executor as _,
    upgrade::{OnUpgrade, on},
};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

use super::{Body, full};
use crate::connection::Tasks;

/// Bytes on the way in each direction.
const BUFFER: usize = 16 * 1024;

/// Carries bytes both ways once both sides have switched; the answer tells the client to. It ends with the connection
/// that `tasks` belongs to.
pub(crate) fn bridge(client: OnUpgrade, mut response: Response<Incoming>, tasks: &Tasks) -> Response<Body> {
    let application = on(&mut response);
    tasks.execute(async move {
        let (Ok(client), Ok(application)) = tokio::join!(client, application) else { return };
        let (mut client, mut application) = (TokioIo::new(client), TokioIo::new(application));
        if let Err(error) = copy_bidirectional_with_sizes(&mut client, &mut application, BUFFER, BUFFER).await {
            tracing::debug!(%error, "an upgraded connection broke");
        }
    });
    let mut answer = Response::new(full(""));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    answer
}
