//! `rewrite`: headers that are set in requests, and redirects that are turned back to the public address.

use std::collections::BTreeMap;

use domain::{
    Error,
    resources::app::{Rewrite, is_reserved_header, is_same_header},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{HOST, LOCATION},
};
use predicate::{Environment, Template, Value, parse_template};

use crate::{Session, target::Target};

/// The compiled rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rewrites {
    headers: Vec<(HeaderName, Template)>,
    redirects: Vec<String>,
}

impl Rewrites {
    /// Compiles the rules of an application.
    ///
    /// # Errors
    /// A header that only we may set, no header name, or a template that makes no sense.
    pub(crate) fn compile(rewrite: Option<&Rewrite>) -> Result<Self, Error> {
        let Some(rewrite) = rewrite else { return Ok(Self::default()) };
        let header = |header: &domain::resources::app::Header| {
            let refuse = |reason: &dyn std::fmt::Display| {
                Error::invalid(format!("spec.rewrite.headers: {:?}: {reason}", header.name))
            };
            let name = HeaderName::from_bytes(header.name.trim().as_bytes()).map_err(|error| refuse(&error))?;
            if is_reserved_header(name.as_str()) {
                return Err(refuse(&"only the cluster itself sets this header"));
            }
            let template = parse_template(header.value.trim()).map_err(|error| refuse(&error))?;
            Ok((name, template))
        };
        Ok(Self {
            headers: rewrite.headers.iter().map(header).collect::<Result<_, Error>>()?,
            redirects: rewrite.redirect.iter().map(|host| host.trim().to_ascii_lowercase()).collect(),
        })
    }

    /// Sets the headers. What the client sent under these names, or under one that an application takes for such, is gone
    /// even where a template has no value: applications trust these names. The first value of `Host` is returned, since it
    /// becomes part of the address.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, session: &Session, jwt: &HeaderValue) -> Option<HeaderValue> {
        if self.headers.is_empty() {
            return None;
        }
        self.apply_traits(headers, session.identity().traits.clone(), jwt.to_str().unwrap_or_default())
    }

    /// Takes away what a client sent under a name that is set here.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        let is_set =
            |sent: &&HeaderName| self.headers.iter().any(|(name, _)| is_same_header(sent.as_str(), name.as_str()));
        let sent: Vec<HeaderName> = headers.keys().filter(is_set).cloned().collect();
        for name in sent {
            headers.remove(name);
        }
    }

    pub(crate) fn apply_traits(
        &self,
        headers: &mut HeaderMap,
        mut traits: BTreeMap<String, Vec<String>>,
        jwt: &str,
    ) -> Option<HeaderValue> {
        traits.insert("jwt".to_owned(), vec![jwt.to_owned()]);
        let values = Traits(traits);
        self.strip(headers);
        let mut host = None;
        for (name, template) in &self.headers {
            // No value is an ordinary thing here: not everybody has every trait.
            let expanded = template.expand(&values).unwrap_or_default();
            for value in expanded.iter().filter_map(|value| sensitive(value)) {
                if name == HOST {
                    host.get_or_insert(value);
                } else {
                    headers.append(name, value);
                }
            }
        }
        host
    }

    /// Turns a redirect to the application's own address, or to one that is listed, into one to the public address.
    pub(crate) fn redirect(&self, headers: &mut HeaderMap, target: &Target, public: &str) {
        let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok()) else { return };
        let (bare, fragment) = location.split_once('#').map_or((location, None), |(bare, end)| (bare, Some(end)));
        let Ok(uri) = bare.parse::<Uri>() else { return };
        let Some(authority) = uri.authority() else { return };
        let is_own = uri.scheme() == Some(&target.url_scheme())
            && authority.host().trim_matches(['[', ']']).eq_ignore_ascii_case(&target.host)
            && authority.port_u16().or(default_port(&uri)) == target.port;
        let listed = |host: &String| {
            *host == authority.host().to_ascii_lowercase() || *host == authority.as_str().to_ascii_lowercase()
        };
        if !is_own && !self.redirects.iter().any(listed) {
            return;
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
        if let Ok(location) = HeaderValue::from_str(&format!("https://{public}{path}{fragment}")) {
            headers.insert(LOCATION, location);
        }
    }
}

fn default_port(uri: &Uri) -> Option<u16> {
    match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    }
}

/// A value that does not show in debug output; none for what no header can hold, such as a trait with a line break.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

struct Traits(BTreeMap<String, Vec<String>>);

impl Environment for Traits {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "internal" | "external" | "user.spec.traits" => Value::Traits(&self.0),
            _ => Value::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::resources::app::Header;

    use super::*;
    use crate::tests::kit;

    fn rewrite(headers: &[(&str, &str)], redirect: &[&str]) -> Result<Rewrites, Error> {
        Rewrites::compile(Some(&Rewrite {
            headers: headers
                .iter()
                .map(|(name, value)| Header { name: (*name).into(), value: (*value).into() })
                .collect(),
            redirect: redirect.iter().map(|&host| host.into()).collect(),
            jwt_claims: String::new(),
        }))
    }

    #[test]
    fn headers_come_from_templates_and_replace_what_the_client_sent() {
        let session =
            kit::session_with_traits(&[("logins", &["root", "ubuntu"]), ("team", &["a"]), ("evil", &["x\r\ny: z"])]);
        let signed = HeaderValue::from_static("signed");
        for (name, template, expect) in [
            ("x-plain", "text", &["text"][..]),
            ("x-login", "{{internal.logins}}", &["root", "ubuntu"]),
            ("x-team", "team-{{external.team}}", &["team-a"]),
            ("authorization", "Bearer {{internal.jwt}}", &["Bearer signed"]),
            ("x-none", "{{external.missing}}", &[]),
            ("x-evil", "{{external.evil}}", &[]),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("from the client"));
            let host = rewrite(&[(name, template)], &[]).unwrap().apply(&mut headers, &session, &signed);
            let found: Vec<_> = headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!((found.as_slice(), host), (expect, None), "{name}");
        }
        let mut headers = HeaderMap::new();
        let host = rewrite(&[("Host", "inner.example")], &[]).unwrap().apply(&mut headers, &session, &signed);
        assert_eq!((host, headers.len()), (Some(HeaderValue::from_static("inner.example")), 0));
    }

    #[test]
    fn no_other_spelling_of_a_name_that_is_set_reaches_the_application() {
        let session = kit::session_with_traits(&[("role", &["user"])]);
        let rewrites =
            rewrite(&[("X-Role", "{{external.role}}"), ("X_Remote_User", "{{external.none}}")], &[]).unwrap();
        for sent in ["x-role", "X_Role", "x.role", "x-remote-user", "X_REMOTE_USER", "x-remote_user"] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_bytes(sent.as_bytes()).unwrap(), HeaderValue::from_static("admin"));
            headers.insert("x-roles", HeaderValue::from_static("kept"));
            rewrites.apply(&mut headers, &session, &HeaderValue::from_static("signed"));
            assert_eq!((headers.len(), &headers["x-role"]), (2, &HeaderValue::from_static("user")), "{sent}");
        }
    }

    #[test]
    fn reserved_names_and_broken_templates_are_refused() {
        for (name, value) in [
            ("X-Forwarded-For", "1"),
            ("Teleport-Jwt-Assertion", "x"),
            ("x_teleport_y", "x"),
            ("a b", "x"),
            ("a", "{{"),
            ("a", "{{what.ever}}"),
        ] {
            assert!(rewrite(&[(name, value)], &[]).is_err(), "{name}: {value}");
        }
    }

    #[test]
    fn redirects_lead_back_to_the_public_address() {
        let target = Target::parse("http://localhost:8080").unwrap();
        let rewrites = rewrite(&[], &["Inner.example", "other:9"]).unwrap();
        for (location, expect) in [
            ("http://localhost:8080/a?b#c", "https://app.example/a?b#c"),
            ("http://localhost:8080", "https://app.example/"),
            ("https://localhost:8080/a", "https://localhost:8080/a"),
            ("http://localhost/a", "http://localhost/a"),
            ("https://inner.example/x", "https://app.example/x"),
            ("http://inner.example:99/x", "https://app.example/x"),
            ("https://other:9/", "https://app.example/"),
            ("https://other/", "https://other/"),
            ("/relative", "/relative"),
            ("https://elsewhere.example/", "https://elsewhere.example/"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LOCATION, HeaderValue::from_static(location));
            rewrites.redirect(&mut headers, &target, "app.example");
            assert_eq!(headers[LOCATION], expect, "{location}");
        }
    }
}
