//! Answers that this agent gives itself.

use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION},
};

use super::{
    Body, full,
    headers::{HOP, Via},
};
use crate::{access::Refusal, dial::DialError};

/// An error with the hop and the reason in it, for whoever looks for the fault. What the proxy makes a page of is the
/// reason alone: it says the rest itself.
pub(crate) fn failure(status: StatusCode, hop: &'static str, reason: &str, via: &Via) -> Response<Body> {
    let text = match status {
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => format!("{reason}\n"),
        _ if via.id().is_empty() => format!("{} at the {hop}: {reason}\n", status.as_u16()),
        _ => format!("{} at the {hop}: {reason}\nrequest {}\n", status.as_u16(), via.id()),
    };
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HOP, HeaderValue::from_static(hop));
    response
}

/// A refusal. A session that is over is told apart: the proxy forgets it and sends the browser to the login.
pub(crate) fn refused(refusal: &Refusal, via: &Via) -> Response<Body> {
    let (status, hop) = match refusal {
        Refusal::Ended => (StatusCode::UNAUTHORIZED, "session"),
        Refusal::Untrusted(_) | Refusal::Locked(_) | Refusal::Denied(_) => (StatusCode::FORBIDDEN, "agent"),
        Refusal::NotServed(_) => (StatusCode::BAD_GATEWAY, "agent"),
        Refusal::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "agent"),
    };
    failure(status, hop, &refusal.for_client(), via)
}

/// An application that could not be reached.
pub(crate) fn unreachable(error: &DialError, via: &Via) -> Response<Body> {
    let status = match error {
        DialError::TooSlow { .. } => StatusCode::GATEWAY_TIMEOUT,
        DialError::Blocked { .. } => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_GATEWAY,
    };
    let (hop, reason) = match error {
        // Which addresses a name stands for inside is not for the client. No other certificate helps.
        DialError::Blocked { blocked, .. } => {
            ("agent-hosts", format!("{} of this agent does not let it dial the application", blocked.policy))
        }
        other => ("agent", other.to_string()),
    };
    failure(status, hop, &reason, via)
}

/// Sends the client to where the application begins.
pub(crate) fn landing(place: &str, via: &Via) -> Response<Body> {
    let Ok(location) = HeaderValue::from_str(place) else {
        return failure(StatusCode::BAD_GATEWAY, "agent", "the application's address cannot be sent", via);
    };
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(LOCATION, location);
    response
}
