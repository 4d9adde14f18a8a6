//! What a browser asks before it lets a page of another site send a request to an application. It asks without cookie and
//! without certificate (Fetch §4.8), so that it cannot be passed on: the announced rules of the application decide.

use domain::resources::app::CorsPolicy;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
};

use crate::{body::Body, pages};

/// Whether a request only asks what another request may do.
pub(crate) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer; without rules, as for an application that is not there, a refusal.
pub(crate) fn answer(policy: Option<&CorsPolicy>, request: &HeaderMap) -> Response<Body> {
    let origin = request.get(ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
    let named = policy.and_then(|policy| Some((policy, policy.allow(origin)?)));
    let mut response = match named {
        Some(_) => pages::plain(StatusCode::NO_CONTENT, Body::empty()),
        None => pages::plain(StatusCode::FORBIDDEN, "no rule of the application allows this to other sites\n"),
    };
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    let Some((policy, named)) = named else { return response };
    let mut say = |name, text: &str| match HeaderValue::from_str(text) {
        Ok(value) if !value.is_empty() => drop(headers.insert(name, value)),
        _ => {}
    };
    say(ACCESS_CONTROL_ALLOW_ORIGIN, named);
    say(ACCESS_CONTROL_ALLOW_METHODS, &policy.allowed_methods.join(", "));
    say(ACCESS_CONTROL_ALLOW_HEADERS, &policy.allowed_headers.join(", "));
    if policy.allow_credentials {
        say(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    if policy.max_age > 0 {
        say(ACCESS_CONTROL_MAX_AGE, &policy.max_age.to_string());
    }
    response
}
