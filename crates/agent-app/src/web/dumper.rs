//! The debug application: answers with what it was asked, so that a person sees what an application sees.

use http::{HeaderValue, Request, Response, header::CONTENT_TYPE};

use super::{Body, full};

/// The request, as text. The body is not read.
pub(crate) fn answer<B>(request: &Request<B>) -> Response<Body> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut text = format!("{} {path} {:?}\n", request.method(), request.version());
    for (name, value) in request.headers() {
        text.extend([name.as_str(), ": ", &String::from_utf8_lossy(value.as_bytes()), "\n"]);
    }
    let mut response = Response::new(full(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
