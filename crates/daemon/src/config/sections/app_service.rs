//! `app_service:`: the agent beside applications.

use domain::{
    Resource as _,
    form::{Labels, duration},
    resources::{
        App,
        app::{AppSpec, CommandLabel, CorsPolicy, Header, PortRange, Rewrite},
    },
};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::config::{
    fields::Fields,
    schema::Schema::{self, Any, Free, List, Map, Text, Texts},
};

/// Dynamic resources that an agent picks up by label.
pub(super) const RESOURCES: Schema = List(&Map(&[("labels", Free), ("aws", Any)]));

/// The agent beside applications.
#[derive(Clone, Debug, Serialize)]
pub struct AppService {
    /// Whether it runs in this process.
    pub enabled: bool,
    /// Whether there is an application `dumper`, which shows what it was asked.
    pub debug_app: bool,
    /// Which `app` resources are served, too: any of these selectors suffices.
    pub resources: Vec<Selector>,
    /// The only addresses at which applications may be; empty: all but the denied ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_hosts: Vec<String>,
    /// Addresses at which no application may be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied_hosts: Vec<String>,
    /// The applications of the file.
    pub apps: Vec<Application>,
}

/// Selects resources by their labels.
#[derive(Clone, Debug, Serialize)]
pub struct Selector {
    /// All of these.
    pub labels: Labels,
}

/// An application, checked.
#[derive(Clone, Debug)]
pub struct Application(pub App);

const MCP: Schema = Map(&[("command", Text), ("args", Texts), ("run_as_host_user", Text)]);

const NO_SUCH_PROGRAMS: &str = "remove it: only http, https and tcp applications are served";

pub(super) fn read(fields: &Fields<'_>) -> AppService {
    let selectors = fields.sections("resources").into_iter().map(|each| {
        let labels = each.labels("labels");
        if let Err(error) = agent_app::check_selector(&labels) {
            each.refuse("labels", error.message, "");
        }
        each.unsupported("aws", &Any, "remove it");
        each.finish();
        Selector { labels }
    });
    let debug_app = fields.flag("debug_app").unwrap_or_default();
    let service = AppService {
        // A section is there to be used.
        enabled: fields.flag("enabled").unwrap_or(!fields.is_empty()),
        debug_app,
        resources: selectors.collect(),
        allowed_hosts: fields.texts("allowed_hosts").unwrap_or_default(),
        denied_hosts: fields.texts("denied_hosts").unwrap_or_default(),
        apps: applications(fields, debug_app),
    };
    if let Err(error) = agent_app::Hosts::parse(&service.allowed_hosts, &service.denied_hosts) {
        let key = if service.denied_hosts.is_empty() { "allowed_hosts" } else { "denied_hosts" };
        fields.refuse(key, error.message, "");
    }
    fields.unsupported("mcp_demo_server", &Schema::Flag, NO_SUCH_PROGRAMS);
    fields.finish();
    service
}

fn applications(fields: &Fields<'_>, debug_app: bool) -> Vec<Application> {
    let mut apps: Vec<Application> = Vec::new();
    for each in fields.sections("apps") {
        let Some(app) = application(&each) else { continue };
        if apps.iter().any(|other| other.0.name() == app.0.name()) {
            each.refuse("name", format!("{:?} is there twice", app.0.name()), "");
        }
        if debug_app && app.0.name() == agent_app::DUMPER {
            each.refuse("name", "is the name of the application that debug_app makes", "");
        }
        apps.push(app);
    }
    apps
}

/// The keys of an application that are checked together, and what errors call them.
const CHECKED: [(&str, &str); 4] = [
    ("spec.uri", "uri"),
    ("spec.public_addr", "public_addr"),
    ("spec.tcp_ports", "tcp_ports"),
    ("spec.rewrite", "rewrite"),
];

fn application(fields: &Fields<'_>) -> Option<Application> {
    let name = fields.text("name");
    if name.is_none() {
        fields.refuse("name", "is missing", "write for example \"grafana\"");
    }
    let mut app = App::new(
        name.clone().unwrap_or_default(),
        AppSpec {
            uri: fields.text("uri").unwrap_or_default(),
            public_addr: fields.text("public_addr").unwrap_or_default(),
            dynamic_labels: commands(fields),
            insecure_skip_verify: fields.flag("insecure_skip_verify").unwrap_or_default(),
            rewrite: fields.section("rewrite").map(|fields| rewrite(&fields)),
            required_app_names: fields.texts("required_apps").unwrap_or_default(),
            cors: fields.section("cors").map(|fields| cors(&fields)),
            tcp_ports: fields.sections("tcp_ports").iter().map(ports).collect(),
            use_any_proxy_public_addr: fields.flag("use_any_proxy_public_addr").unwrap_or_default(),
            ..AppSpec::default()
        },
    );
    app.metadata.description = fields.text("description").unwrap_or_default();
    let labels = fields.labels("labels").0.into_iter();
    app.metadata.labels = labels.map(|(key, values)| (key, values.join(","))).collect();
    if !app.spec.required_app_names.is_empty() {
        fields.warn(
            "required_apps",
            "is kept for the login page, which cannot sign anybody in yet; programs need no help",
        );
    }
    if app.spec.use_any_proxy_public_addr {
        fields.warn(
            "use_any_proxy_public_addr",
            "has no effect: an application always has a name below every public_addr",
        );
    }
    fields.unsupported("cloud", &Text, NO_SUCH_PROGRAMS);
    fields.unsupported("aws", &Any, NO_SUCH_PROGRAMS);
    fields.unsupported("mcp", &MCP, NO_SUCH_PROGRAMS);
    fields.finish();
    name?;
    app.set_defaults();
    if let Err(error) = agent_app::App::check(&app) {
        let checked = CHECKED.iter().find_map(|(path, key)| Some((*key, error.message.strip_prefix(path)?)));
        let (key, message) = checked.unwrap_or(("name", &error.message));
        fields.refuse(key, message.trim_start_matches(['.', ':', ' ']), "");
        return None;
    }
    Some(Application(app))
}

fn commands(fields: &Fields<'_>) -> std::collections::BTreeMap<String, CommandLabel> {
    let commands = fields.sections("commands").into_iter().filter_map(|each| {
        let name = each.text("name");
        let command = each.texts("command").unwrap_or_default();
        if name.is_none() || command.is_empty() {
            each.refuse("name", "a label needs a name and a command", "{name: arch, command: [uname, -m], period: 1h}");
        }
        let period = each.duration("period").unwrap_or_default();
        each.finish();
        Some((name?, CommandLabel { period, command, ..CommandLabel::default() }))
    });
    commands.collect()
}

fn rewrite(fields: &Fields<'_>) -> Rewrite {
    let mut headers = Vec::new();
    for line in fields.lines("headers") {
        match line.split_once(':') {
            Some((name, value)) => {
                headers.push(Header { name: name.trim().to_owned(), value: value.trim().to_owned() });
            }
            None => fields.refuse("headers", format!("\"{line}\" is no header"), "write \"Name: value\""),
        }
    }
    let claims = ["roles-and-traits", "roles", "traits", "none"].map(|word| (word, word));
    let rewrite = Rewrite {
        redirect: fields.texts("redirect").unwrap_or_default(),
        headers,
        jwt_claims: fields.choice("jwt_claims", &claims).unwrap_or_default().to_owned(),
    };
    fields.finish();
    rewrite
}

fn cors(fields: &Fields<'_>) -> CorsPolicy {
    let list = |key| fields.texts(key).unwrap_or_default();
    let policy = CorsPolicy {
        allowed_origins: list("allowed_origins"),
        allowed_methods: list("allowed_methods"),
        allowed_headers: list("allowed_headers"),
        exposed_headers: list("exposed_headers"),
        allow_credentials: fields.flag("allow_credentials").unwrap_or_default(),
        max_age: fields.parsed("max_age", seconds).unwrap_or_default(),
    };
    fields.finish();
    policy
}

/// A number of seconds, or a duration.
fn seconds(text: &str) -> Result<u32, String> {
    let seconds = text.parse().or_else(|_| duration::parse(text).map(|duration| duration.as_secs()))?;
    u32::try_from(seconds).map_err(|_| format!("\"{text}\" is too long"))
}

fn ports(fields: &Fields<'_>) -> PortRange {
    let port = |key| fields.number(key).and_then(|port| u32::try_from(port).ok()).unwrap_or_default();
    let range = PortRange { port: port("port"), end_port: port("end_port") };
    fields.finish();
    range
}

/// As the file writes it, which is not how the resource does.
impl Serialize for Application {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let App { metadata, spec, .. } = &self.0;
        let commands = spec.dynamic_labels.iter().map(
            |(name, label)| json!({"name": name, "command": label.command, "period": duration::format(label.period)}),
        );
        let headers = |rewrite: &Rewrite| {
            rewrite.headers.iter().map(|header| format!("{}: {}", header.name, header.value)).collect::<Vec<_>>()
        };
        let rewrite = spec.rewrite.as_ref().map(|rewrite| {
            let mut value = json!({"redirect": rewrite.redirect, "headers": headers(rewrite)});
            if !rewrite.jwt_claims.is_empty() {
                value["jwt_claims"] = json!(rewrite.jwt_claims);
            }
            value
        });
        let mut app = json!({
            "name": metadata.name,
            "description": metadata.description,
            "labels": metadata.labels,
            "uri": spec.uri,
            "public_addr": spec.public_addr,
            "commands": commands.collect::<Vec<_>>(),
            "insecure_skip_verify": spec.insecure_skip_verify,
            "rewrite": rewrite,
            "cors": spec.cors,
            "required_apps": spec.required_app_names,
            "use_any_proxy_public_addr": spec.use_any_proxy_public_addr,
            "tcp_ports": spec.tcp_ports,
        });
        if let Value::Object(keys) = &mut app {
            let is_empty = |value: &Value| {
                value.is_null()
                    || value == ""
                    || value.as_array().is_some_and(Vec::is_empty)
                    || value.as_object().is_some_and(serde_json::Map::is_empty)
            };
            keys.retain(|_, value| !is_empty(value));
        }
        app.serialize(serializer)
    }
}
