//! Cross-origin rules: preflights are answered here, for a browser sends them without the session.

use domain::resources::app::CorsPolicy;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
};

use super::{Body, full};

/// The rules of one application.
#[derive(Debug, Clone)]
pub(crate) struct Cors {
    policy: CorsPolicy,
}

/// Whether a request only asks what another request may do.
pub(crate) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl Cors {
    pub(crate) fn compile(policy: &CorsPolicy) -> Self {
        Self { policy: policy.clone() }
    }

    /// The answer to a preflight.
    pub(crate) fn preflight(&self, request: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(full(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        if !self.allow(request, headers) {
            *response.status_mut() = StatusCode::FORBIDDEN;
            return response;
        }
        let list = |values: &[String]| HeaderValue::from_str(&values.join(", ")).ok().filter(|value| !value.is_empty());
        for (name, values) in [
            (ACCESS_CONTROL_ALLOW_METHODS, &self.policy.allowed_methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, &self.policy.allowed_headers),
        ] {
            if let Some(value) = list(values) {
                headers.insert(name, value);
            }
        }
        if self.policy.max_age > 0 {
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.policy.max_age));
        }
        response
    }

    /// What is added to the answer of the application, which may say more precise things itself.
    pub(crate) fn decorate(&self, request: &HeaderMap, response: &mut HeaderMap) {
        if response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) || !self.allow(request, response) {
            return;
        }
        if let Ok(value) = HeaderValue::from_str(&self.policy.exposed_headers.join(", "))
            && !value.is_empty()
        {
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, value);
        }
    }

    /// Names the origin, if it is one of those that are allowed. With credentials the origin itself is named even where
    /// every origin is allowed: browsers do not take `*` then.
    fn allow(&self, request: &HeaderMap, response: &mut HeaderMap) -> bool {
        response.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = request.get(ORIGIN) else { return false };
        let any = self.policy.allowed_origins.iter().any(|allowed| allowed == "*");
        if !any && !self.policy.allowed_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()) {
            return false;
        }
        if self.policy.allow_credentials {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let value = if any && !self.policy.allow_credentials { HeaderValue::from_static("*") } else { origin.clone() };
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(origins: &[&str], credentials: bool) -> Cors {
        Cors::compile(&CorsPolicy {
            allowed_origins: origins.iter().map(|&origin| origin.into()).collect(),
            allowed_methods: vec!["GET".into(), "PUT".into()],
            allowed_headers: vec!["X-A".into()],
            exposed_headers: vec!["X-B".into()],
            allow_credentials: credentials,
            max_age: 60,
        })
    }

    #[test]
    fn preflights_name_the_origin_that_is_allowed() {
        for (origins, credentials, origin, expect) in [
            (&["https://a.example"][..], true, "https://a.example", Some("https://a.example")),
            (&["https://a.example"], true, "https://b.example", None),
            (&["https://a.example"], true, "https://a.example.evil", None),
            (&["*"], false, "https://b.example", Some("*")),
            (&["*"], true, "https://b.example", Some("https://b.example")),
            (&[], true, "null", None),
        ] {
            let mut request = HeaderMap::new();
            request.insert(ORIGIN, HeaderValue::from_static(origin));
            let answer = policy(origins, credentials).preflight(&request);
            let named = answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|value| value.to_str().unwrap());
            assert_eq!(named, expect, "{origins:?} {origin}");
            let expect = expect.map_or((StatusCode::FORBIDDEN, None), |_| (StatusCode::NO_CONTENT, Some("GET, PUT")));
            let methods = answer.headers().get(ACCESS_CONTROL_ALLOW_METHODS).map(|value| value.to_str().unwrap());
            assert_eq!((answer.status(), methods), expect);
        }
    }

    #[test]
    fn the_applications_own_rules_stand() {
        let mut request = HeaderMap::new();
        request.insert(ORIGIN, HeaderValue::from_static("https://a.example"));
        let mut own = HeaderMap::new();
        own.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://own.example"));
        policy(&["*"], false).decorate(&request, &mut own);
        assert_eq!(own[ACCESS_CONTROL_ALLOW_ORIGIN], "https://own.example");
        let mut none = HeaderMap::new();
        policy(&["*"], false).decorate(&request, &mut none);
        assert_eq!(
            (&none[ACCESS_CONTROL_ALLOW_ORIGIN], &none[ACCESS_CONTROL_EXPOSE_HEADERS]),
            (&"*".parse().unwrap(), &"X-B".parse().unwrap())
        );
    }
}
