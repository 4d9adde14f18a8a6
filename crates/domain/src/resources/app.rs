//! `app` v3: an application that can be reached through the cluster.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

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
        required_app_names: Vec<String>,
        cors: Option<CorsPolicy>,
        identity_center: Option<AppIdentityCenter>,
        tcp_ports: Vec<PortRange>,
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
        if self.spec.uri.is_empty() && self.spec.mcp.is_none() && self.spec.cloud.is_empty() {
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
            if !matches!(port.parse::<u16>(), Ok(1..)) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Error::invalid(
                    "spec.public_addr: must be a name, or a name with a port, such as grafana.example.com:443",
                ));
            }
        }
        check_ports(scheme, &self.spec.tcp_ports)
    }
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
