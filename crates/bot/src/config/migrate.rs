//! From the first form of the file to the second.

use serde_json::{Map, Value as Json, json};

use super::{
    Config, ConfigError,
    fields::{Fields, Source},
    node::{self, Node},
    service::to_json,
};

/// Rewrites a v1 file as v2. A v2 file comes back as it is understood.
///
/// # Errors
/// When the file is neither, or uses what has no counterpart.
pub fn migrate(text: &str, source: &str) -> Result<Config, ConfigError> {
    let node = node::parse(text, source)?;
    let from = Source { name: source, text };
    let mut fields = Fields::open(from, &node, "")?;
    match fields.text("version")?.as_deref() {
        Some("v2") => return Config::parse(text, source),
        None | Some("v1" | "") => {}
        Some(other) => return Err(fields.refuse("version", format!("{other:?} is unknown"))),
    }
    let mut map = Map::new();
    map.insert("version".into(), "v2".into());
    const SAME: [&str; 9] = [
        "debug",
        "auth_server",
        "certificate_ttl",
        "renewal_interval",
        "oneshot",
        "onboarding",
        "diag_addr",
        "fips",
        "insecure",
    ];
    for key in SAME {
        if let Some(value) = fields.node(key) {
            let key = if key == "certificate_ttl" { "credential_ttl" } else { key };
            map.insert(key.into(), to_json(value));
        }
    }
    if let Some(storage) = fields.node("storage") {
        map.insert("storage".into(), place(from, storage, "storage")?);
    }
    let mut outputs = Vec::new();
    for (index, item) in fields.items("destinations")?.iter().enumerate() {
        outputs.extend(output(from, item, &format!("destinations[{index}]"))?);
    }
    map.insert("outputs".into(), outputs.into());
    fields.finish()?;
    let text = serde_saphyr::to_string(&Json::Object(map)).unwrap_or_default();
    Config::parse(&text, &format!("{source} (converted)"))
}

/// v1 wrote `directory: path`, `directory: {path, …}` or `memory: {}` where v2 has a type.
fn place(source: Source<'_>, node: &Node, path: &str) -> Result<Json, ConfigError> {
    let mut fields = Fields::open(source, node, path)?;
    let destination = read_place(&mut fields)?;
    fields.finish()?;
    Ok(destination)
}

fn read_place(fields: &mut Fields<'_>) -> Result<Json, ConfigError> {
    let (directory, memory) = (fields.node("directory"), fields.node("memory"));
    match (directory, memory) {
        (Some(directory), None) => {
            let mut map = Map::new();
            map.insert("type".into(), "directory".into());
            match to_json(directory) {
                Json::Object(entries) => map.extend(entries),
                path => drop(map.insert("path".into(), path)),
            }
            Ok(Json::Object(map))
        }
        (None, Some(_)) => Ok(json!({ "type": "memory" })),
        _ => Err(fields.refuse("directory", "exactly one of directory and memory is needed")),
    }
}

/// A v1 destination is one output; what it is for follows from which block it has.
fn output(source: Source<'_>, node: &Node, path: &str) -> Result<Option<Json>, ConfigError> {
    let mut fields = Fields::open(source, node, path)?;
    let mut map = Map::new();
    map.insert("type".into(), "identity".into());
    map.insert("destination".into(), read_place(&mut fields)?);
    let roles = fields.texts("roles")?;
    if !roles.is_empty() {
        map.insert("roles".into(), roles.into());
    }
    if let Some(app) = fields.node("app") {
        let mut app = Fields::open(source, app, &fields.name("app"))?;
        map.insert("type".into(), "application".into());
        map.insert("app_name".into(), app.required("app")?.into());
        app.finish()?;
    }
    if let Some(database) = fields.node("database") {
        let mut database = Fields::open(source, database, &fields.name("database"))?;
        map.insert("type".into(), "database".into());
        for (key, new) in [("service", "service"), ("database", "database"), ("username", "username")] {
            if let Some(text) = database.text(key)? {
                map.insert(new.into(), text.into());
            }
        }
        database.finish()?;
    }
    if let Some(cluster) = fields.text("kubernetes_cluster")? {
        map.insert("type".into(), "kubernetes".into());
        map.insert("kubernetes_cluster".into(), cluster.into());
    }
    if let Some(cluster) = fields.text("cluster")? {
        map.insert("cluster".into(), cluster.into());
    }
    configs(&mut fields, &mut map)?;
    fields.finish()?;
    Ok(Some(Json::Object(map)))
}

/// `configs:` named the files to write; v2 derives them from the type.
fn configs(fields: &mut Fields<'_>, map: &mut Map<String, Json>) -> Result<(), ConfigError> {
    for item in fields.items("configs")? {
        let name = match to_json(item) {
            Json::String(name) => name,
            Json::Object(entries) => entries.keys().next().cloned().unwrap_or_default(),
            _ => String::new(),
        };
        let kind = map.get("type").and_then(Json::as_str).unwrap_or_default().to_owned();
        match (name.as_str(), kind.as_str()) {
            ("ssh_client" | "identity" | "kubernetes", _) => {}
            ("tls_cas", _) => {}
            ("tls" | "mongo" | "cockroach", "database") => drop(map.insert("format".into(), name.into())),
            ("tls", "application") => drop(map.insert("specific_tls_naming".into(), true.into())),
            ("ssh_host_cert", "identity") => {
                map.insert("type".into(), "ssh_host".into());
                let principals = to_json(item).pointer("/ssh_host_cert/principals").cloned().unwrap_or_default();
                map.insert("principals".into(), principals);
            }
            _ => return Err(fields.refuse("configs", format!("{name:?} has no counterpart in v2"))),
        }
    }
    Ok(())
}
