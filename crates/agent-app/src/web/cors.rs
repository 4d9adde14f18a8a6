//! Cross-origin rules in the answers of an application. Preflights never come so far: a browser sends them without the
//! session, and the proxy answers them.

use domain::resources::app::CorsPolicy;
use http::{
    HeaderMap, HeaderValue,
    header::{ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, VARY},
};

/// Adds to the answer of the application, which may say more precise things itself. `origin` is the one of the request.
pub(crate) fn decorate(policy: &CorsPolicy, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
    if response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        return;
    }
    response.append(VARY, HeaderValue::from_static("Origin"));
    let origin = origin.and_then(|origin| origin.to_str().ok());
    let Some(named) = origin.and_then(|origin| policy.allow(origin)) else { return };
    if policy.allow_credentials {
        response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    for (name, text) in
        [(ACCESS_CONTROL_ALLOW_ORIGIN, named), (ACCESS_CONTROL_EXPOSE_HEADERS, &*policy.exposed_headers.join(", "))]
    {
        if let Ok(value) = HeaderValue::from_str(text)
            && !value.is_empty()
        {
            response.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_applications_own_rules_stand() {
        let policy = CorsPolicy {
            allowed_origins: vec!["*".into()],
            exposed_headers: vec!["X-A".into(), "X-B".into()],
            ..CorsPolicy::default()
        };
        let origin = HeaderValue::from_static("https://a.example");
        let mut own = HeaderMap::new();
        own.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://own.example"));
        decorate(&policy, Some(&origin), &mut own);
        assert_eq!((&own[ACCESS_CONTROL_ALLOW_ORIGIN], own.len()), (&"https://own.example".parse().unwrap(), 1));
        let mut none = HeaderMap::new();
        decorate(&policy, Some(&origin), &mut none);
        assert_eq!(
            (&none[ACCESS_CONTROL_ALLOW_ORIGIN], &none[ACCESS_CONTROL_EXPOSE_HEADERS], &none[VARY]),
            (&"*".parse().unwrap(), &"X-A, X-B".parse().unwrap(), &"Origin".parse().unwrap())
        );
        let mut other = HeaderMap::new();
        decorate(
            &CorsPolicy { allowed_origins: vec!["https://b.example".into()], ..policy },
            Some(&origin),
            &mut other,
        );
        assert_eq!(other.len(), 1, "{other:?}");
    }
}
