//! A request that did not reach its application: where it failed, why, and the page that says so.

use std::fmt;

use bytes::Bytes;
use domain::{Error, error::Kind};
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::{BodyExt, Full};
use tunnel::headers::REQUEST_ID;

use crate::access::Body;

/// Why a request failed, and where.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) hop: Hop,
    pub(crate) error: Error,
    /// Nobody has answered in time.
    pub(crate) is_late: bool,
}

/// The parts of the way that we see. What fails behind the proxy is told by the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hop {
    /// It went nowhere.
    Here,
    /// There is no certificate.
    Certificate,
    /// To the proxy.
    Proxy,
}

impl Hop {
    /// An error at this hop.
    pub(crate) fn failure(self, error: Error) -> Failure {
        Failure { hop: self, error, is_late: false }
    }

    /// No answer in time.
    pub(crate) fn late(self, message: String) -> Failure {
        Failure { hop: self, error: Error::unavailable(message), is_late: true }
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "at this listener",
            Self::Certificate => "between this machine and the auth service",
            Self::Proxy => "between this machine and the proxy",
        })
    }
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self.error.kind {
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Denied => StatusCode::FORBIDDEN,
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
            Kind::Limit => StatusCode::SERVICE_UNAVAILABLE,
            _ if self.is_late => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// What whoever asked reads. It is text for browsers, too: names that somebody else chose stand in it.
    pub(crate) fn page(&self, id: &str) -> Response<Body> {
        let status = self.status();
        let text = format!("{status}: the request failed {self} (request {id})\n");
        let mut answer = Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync());
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(REQUEST_ID, id);
        }
        answer
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.hop, self.error.message)
    }
}

impl std::error::Error for Failure {}
