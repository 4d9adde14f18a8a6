//! `app` v3: an application that can be reached through the cluster.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use predicate::parse_template;

use crate::{
    Error,
    form::{duration, scalar},
    resources::resource,
};

resource!(
    /// An application.
    App(App), "v3" of ["v3"], AppSpec
);

document! {
    /// Where an application is and how it is reached.
    pub struct AppSpec {
        +uri: String,
        public_addr: String,
        dynamic_labels: BTreeMap<String, CommandLabel>,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        +insecure_skip_verify: bool,
        rewrite: Option<Rewrite>,
        aws: Option<AppAws>,
        cloud: String,
        user_groups: Vec<String>,
        integration: String,
        // As `app_service` writes it.
        #[serde(alias = "required_apps")]
        required_app_names: Vec<String>,
        cors: Option<CorsPolicy>,
        identity_center: Option<AppIdentityCenter>,
        tcp_ports: Vec<PortRange>,
        // Every application is below each public address of a proxy, so this changes nothing.
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        use_any_proxy_public_addr: bool,
        mcp: Option<Mcp>,
    }
}

impl App {
    /// The labels that roles and selectors are asked about: the fixed ones, and what commands have printed. A command
    /// cannot take the place of a fixed label.
    pub fn all_labels(&self) -> Cow<'_, BTreeMap<String, String>> {
        let printed = self.spec.dynamic_labels.iter().filter(|(_, label)| !label.result.is_empty());
        let mut printed = printed.filter(|(key, _)| !self.metadata.labels.contains_key(*key)).peekable();
        if printed.peek().is_none() {
            return Cow::Borrowed(&self.metadata.labels);
        }
        let printed = printed.map(|(key, label)| (key.clone(), label.result.clone()));
        Cow::Owned(self.metadata.labels.clone().into_iter().chain(printed).collect())
    }

    /// The port of a TCP application that is meant by a session: the one it names, if the application has it; without
    /// one the first.
    pub fn tcp_port(&self, wanted: u16) -> Option<u16> {
        let ranges = &self.spec.tcp_ports;
        let own = || self.spec.uri.strip_prefix("tcp://").and_then(|_| address(&self.spec.uri)?.1);
        match (wanted, ranges.first()) {
            (0, None) => own(),
            (0, Some(first)) => u16::try_from(first.port).ok(),
            (wanted, None) => own().filter(|port| *port == wanted),
            (wanted, Some(_)) => ranges
                .iter()
                .any(|range| (range.port..=range.end_port.max(range.port)).contains(&u32::from(wanted)))
                .then_some(wanted),
        }
    }

    /// Whether a session may be meant for this port; 0 names none.
    ///
    /// # Errors
    /// Invalid, when it is none of the application's.
    pub fn check_target_port(&self, port: u16) -> Result<(), Error> {
        if port == 0 || self.tcp_port(port).is_some() {
            return Ok(());
        }
        let name = &self.metadata.name;
        Err(Error::invalid(match self.spec.uri.starts_with("tcp://") {
            true => format!("app {name:?} has no port {port}"),
            false => format!("app {name:?} is no TCP application, so there are no ports of it to choose from"),
        }))
    }
}

document! {
    /// A label whose value a command prints.
    pub struct CommandLabel {
        #[serde(with = "duration::go")]
        +period: Duration,
        +command: Vec<String>,
        +result: String,
    }
}

document! {
    /// What is changed in requests and answers.
    pub struct Rewrite {
        redirect: Vec<String>,
        headers: Vec<Header>,
        jwt_claims: String,
    }
}

document! {
    /// A header to be set.
    pub struct Header {
        +name: String,
        +value: String,
    }
}

document! {
    /// The AWS console.
    pub struct AppAws {
        external_id: String,
    }
}

document! {
    /// Cross-origin rules.
    pub struct CorsPolicy {
        allowed_origins: Vec<String>,
        allowed_methods: Vec<String>,
        allowed_headers: Vec<String>,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        allow_credentials: bool,
        max_age: u32,
        exposed_headers: Vec<String>,
    }
}

impl CorsPolicy {
    /// What names the origin in the answer to a request from it; nothing when it is not allowed. With credentials the
    /// origin itself is named even where every origin is allowed: browsers do not take `*` then (Fetch §3.3.5).
    pub fn allow<'a>(&self, origin: &'a str) -> Option<&'a str> {
        let any = self.allowed_origins.iter().any(|allowed| allowed == "*");
        let is_allowed = any || self.allowed_origins.iter().any(|allowed| allowed == origin);
        is_allowed.then_some(if any && !self.allow_credentials { "*" } else { origin })
    }
}

document! {
    /// AWS Identity Center.
    pub struct AppIdentityCenter {
        account_id: String,
        permission_sets: Vec<IdentityCenterPermissionSet>,
    }
}

document! {
    /// A permission set of AWS Identity Center.
    pub struct IdentityCenterPermissionSet {
        arn: String,
        name: String,
        assignment_id: String,
    }
}

document! {
    /// A range of TCP ports.
    pub struct PortRange {
        +port: u32,
        end_port: u32,
    }
}

document! {
    /// A program that speaks MCP.
    pub struct Mcp {
        command: String,
        args: Vec<String>,
        run_as_host_user: String,
    }
}

impl App {
    fn fill(&mut self) {}

    fn check(&self) -> Result<(), Error> {
        let scheme = self.spec.uri.split_once(':').map_or("", |(scheme, _)| scheme);
        let known =
            ["http", "https", "tcp", "mcp+stdio", "mcp+http", "mcp+https", "mcp+sse+http", "mcp+sse+https", "cloud"];
        if self.spec.mcp.is_some() {
            return Err(Error::unsupported("spec.mcp: programs that speak MCP are not supported yet"));
        }
        if self.spec.uri.is_empty() && self.spec.cloud.is_empty() {
            return Err(Error::invalid("spec.uri: must not be empty, write for example http://localhost:8080"));
        }
        if !self.spec.uri.is_empty() && !known.contains(&scheme) {
            return Err(Error::invalid(format!(
                "spec.uri: must begin with http://, https://, tcp:// or mcp+stdio://, found {:?}",
                self.spec.uri
            )));
        }
        if !self.spec.public_addr.is_empty() {
            let (host, port) = self.spec.public_addr.split_once(':').unwrap_or((&self.spec.public_addr, "443"));
            crate::names::DNS_NAME.check("spec.public_addr", host)?;
            if port_number(port).is_none() {
                return Err(Error::invalid(
                    "spec.public_addr: must be a name, or a name with a port, such as grafana.example.com:443",
                ));
            }
        }
        check_ports(scheme, &self.spec.tcp_ports)?;
        check_address(scheme, &self.spec)?;
        self.spec.rewrite.as_ref().map_or(Ok(()), check_rewrite)
    }
}

/// The host and the port of an address; none when it is no address of a server.
fn address(uri: &str) -> Option<(&str, Option<u16>)> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port_number(port)?)),
        _ => (authority, None),
    };
    let is_host = !host.is_empty() && !host.contains('@') && (host.starts_with('[') || !host.contains(':'));
    is_host.then_some((host, port))
}

fn port_number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn check_address(scheme: &str, spec: &AppSpec) -> Result<(), Error> {
    if !["http", "https", "tcp"].contains(&scheme) {
        return Ok(());
    }
    match address(&spec.uri) {
        None => Err(Error::invalid(format!(
            "spec.uri: {:?} is no address of a server, write for example http://localhost:8080",
            spec.uri
        ))),
        Some((_, None)) if scheme == "tcp" && spec.tcp_ports.is_empty() => {
            Err(Error::invalid("spec.uri: a TCP application needs a port, in its address or in tcp_ports"))
        }
        Some(_) => Ok(()),
    }
}

fn check_rewrite(rewrite: &Rewrite) -> Result<(), Error> {
    for header in &rewrite.headers {
        let name = header.name.trim();
        let refuse = |reason: &dyn std::fmt::Display| {
            Err(Error::invalid(format!("spec.rewrite.headers: {:?}: {reason}", header.name)))
        };
        // RFC 9110 §5.6.2.
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return refuse(&"is no name of a header");
        }
        if is_reserved_header(name) {
            return refuse(&"only the cluster itself sets this header");
        }
        if let Err(error) = parse_template(header.value.trim()) {
            return refuse(&error);
        }
    }
    match rewrite.jwt_claims.as_str() {
        "" | "roles-and-traits" | "roles" | "traits" | "none" => Ok(()),
        other => Err(Error::invalid(format!(
            "spec.rewrite.jwt_claims: must be roles-and-traits, roles, traits or none, found {other:?}"
        ))),
    }
}

/// Whether only the cluster sets this header of a request to an application, however it is spelt.
pub fn is_reserved_header(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["x-forwarded-", "x-teleport-", "teleport-"];
    const NAMES: [&str; 4] = ["cf-access-token", "forwarded", "x-real-ip", "x-original-forwarded-for"];
    let begins =
        |prefix: &&str| name.len() >= prefix.len() && reads_as(&name.as_bytes()[..prefix.len()], prefix.as_bytes());
    PREFIXES.iter().any(begins) || NAMES.iter().any(|own| is_same_header(name, own))
}

/// Whether an application may take one name of a header for the other: some servers do not tell `_` from `-` (CGI, RFC 3875
/// §4.1.18), others no sign from another.
pub fn is_same_header(name: &str, other: &str) -> bool {
    reads_as(name.as_bytes(), other.as_bytes())
}

fn reads_as(name: &[u8], other: &[u8]) -> bool {
    let read = |byte: &u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    name.len() == other.len() && name.iter().map(read).eq(other.iter().map(read))
}

fn check_ports(scheme: &str, ports: &[PortRange]) -> Result<(), Error> {
    if !ports.is_empty() && scheme != "tcp" {
        return Err(Error::invalid("spec.tcp_ports: only an application with a tcp:// address has ports"));
    }
    for range in ports {
        let valid = (1..=65535).contains(&range.port)
            && (range.end_port == 0 || (range.port + 1..=65535).contains(&range.end_port));
        if !valid {
            return Err(Error::invalid(format!(
                "spec.tcp_ports: {}-{} is no range of ports",
                range.port, range.end_port
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Resource as _;

    fn app(uri: &str) -> App {
        App::new("db", AppSpec { uri: uri.into(), ..AppSpec::default() })
    }

    #[test]
    fn applications_that_belong_together_are_named_as_in_the_file_of_an_agent() {
        for key in ["required_apps", "required_app_names"] {
            let text =
                format!("kind: app\nversion: v3\nmetadata: {{name: a}}\nspec: {{uri: 'http://a', {key}: [b]}}\n");
            let read = crate::document::read_valid_documents(&text, "x").unwrap();
            let [crate::AnyResource::App(app)] = read.as_slice() else { panic!("{read:?}") };
            assert_eq!(app.spec.required_app_names, ["b"], "{key}");
        }
    }

    #[test]
    fn what_no_agent_serves_is_refused_by_name() {
        let header = |name: &str, value: &str| Header { name: name.into(), value: value.into() };
        let rewrite = |headers: Vec<Header>, claims: &str| {
            let rewrite = Rewrite { headers, jwt_claims: claims.into(), ..Rewrite::default() };
            let mut app = app("http://a");
            app.spec.rewrite = Some(rewrite);
            app
        };
        let mut program = app("");
        program.spec.mcp = Some(Mcp::default());
        for (app, says) in [
            (app("tcp://db"), "spec.uri: a TCP application needs a port"),
            (app("tcp://db:0"), "spec.uri: \"tcp://db:0\" is no address"),
            (app("http://"), "spec.uri: \"http://\" is no address"),
            (app("http://u:p@a"), "spec.uri: \"http://u:p@a\" is no address"),
            (app("http://a:99999/b"), "spec.uri: \"http://a:99999/b\" is no address"),
            (program, "spec.mcp: "),
            (rewrite(vec![header("X-Forwarded-For", "b")], ""), "spec.rewrite.headers: \"X-Forwarded-For\": only"),
            (rewrite(vec![header("x_teleport_foo", "b")], ""), "spec.rewrite.headers: \"x_teleport_foo\": only"),
            (rewrite(vec![header("Teleport-Jwt-Assertion", "b")], ""), "spec.rewrite.headers: "),
            (rewrite(vec![header("a b", "c")], ""), "spec.rewrite.headers: \"a b\": is no name"),
            (rewrite(vec![header("X-A", "{{internal.")], ""), "spec.rewrite.headers: \"X-A\": "),
            (rewrite(vec![], "foo"), "spec.rewrite.jwt_claims: must be roles-and-traits, roles, traits or none"),
        ] {
            let error = app.validate().unwrap_err();
            assert!(error.message.starts_with(says), "{error}");
        }
        let mut any = app("http://a");
        any.spec.use_any_proxy_public_addr = true;
        for good in [
            any,
            app("tcp://[::1]:5432"),
            app("https://[::1]/a?b#c"),
            rewrite(vec![header("Host", "a:1"), header("X-A", "{{external.logins}}")], "none"),
        ] {
            good.validate().unwrap();
        }
    }

    #[test]
    fn only_ports_of_the_application_are_meant() {
        let one = app("tcp://db:5432");
        assert_eq!([0, 5432, 22].map(|port| one.tcp_port(port)), [Some(5432), Some(5432), None]);
        let mut many = app("tcp://db");
        many.spec.tcp_ports = vec![PortRange { port: 10, end_port: 0 }, PortRange { port: 20, end_port: 30 }];
        many.validate().unwrap();
        let found = [0, 10, 11, 20, 30, 31].map(|port| many.tcp_port(port));
        assert_eq!(found, [Some(10), Some(10), None, Some(20), Some(30), None]);
        let web = app("http://db:80");
        for (app, port, says) in [(&one, 22, "app \"db\" has no port 22"), (&web, 80, "app \"db\" is no TCP")] {
            assert!(app.check_target_port(port).unwrap_err().message.starts_with(says));
        }
        assert!(web.check_target_port(0).is_ok() && many.check_target_port(25).is_ok());
    }

    #[test]
    fn an_origin_is_named_as_browsers_take_it() {
        for (origins, credentials, origin, expect) in [
            (&["https://a.example"][..], true, "https://a.example", Some("https://a.example")),
            (&["https://a.example"], true, "https://b.example", None),
            (&["https://a.example"], true, "https://a.example.evil", None),
            (&["*"], false, "https://b.example", Some("*")),
            (&["*"], true, "https://b.example", Some("https://b.example")),
            (&[], true, "null", None),
        ] {
            let allowed_origins = origins.iter().map(|&origin| origin.into()).collect();
            let policy = CorsPolicy { allowed_origins, allow_credentials: credentials, ..CorsPolicy::default() };
            assert_eq!(policy.allow(origin), expect, "{origins:?} {origin}");
        }
    }
}
