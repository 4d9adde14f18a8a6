//! The layer table of ARCHITECTURE.md, checked against the manifests and against what the binaries really link.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Edges inside one layer that the design allows.
const SIDEWAYS: [(&str, &str); 26] = [
    ("crypto", "clock"),
    ("telemetry", "clock"),
    ("service", "telemetry"),
    ("service", "clock"),
    ("net", "clock"),
    ("net", "crypto"),
    ("net", "telemetry"),
    ("domain", "spiffe"),
    ("domain", "predicate"),
    ("rbac", "domain"),
    ("rbac", "predicate"),
    ("ca", "keystore"),
    ("audit", "keystore"),
    ("audit", "storage"),
    ("store", "storage"),
    ("store", "audit"),
    ("auth", "join"),
    ("bot", "client"),
    ("bot", "app-access"),
    ("app-access", "client"),
    ("daemon", "cli"),
    ("cli", "daemon"),
    ("proxy", "client"),
    ("agent", "client"),
    ("agent-app", "agent"),
    ("agent-app", "client"),
];

/// What only the composition root may name.
const ADAPTERS: [&str; 1] = ["storage-sqlite"];

/// The authority's code; a bot that carried it would be larger and would hold more to attack.
const NOT_IN_TBOT: [&str; 10] =
    ["ca", "keystore", "storage", "storage-sqlite", "store", "audit", "auth", "auth-grpc", "rusqlite", "daemon"];

/// The authority's half of the join methods, as `cargo tree` names a feature.
const VERIFYING: &str = "join feature \"verify\"";

/// Checks every edge between our crates, then the trees of the binaries.
pub(crate) fn run() -> Result<()> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked"])
        .output()
        .context("cannot run cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut layers = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        match &package["metadata"]["tessera"]["layer"] {
            Value::Number(layer) => layers.insert(name, layer.as_i64()),
            Value::String(dev) if dev == "dev" => layers.insert(name, None),
            _ => bail!("{name}: its manifest has no [package.metadata.tessera] layer"),
        };
    }
    let mut complaints = Vec::new();
    for package in packages {
        edges(package, &layers, &mut complaints);
    }
    let tree = tree(&["-p", "tbot"])?;
    complaints.extend(NOT_IN_TBOT.iter().filter(|name| links(&tree, name)).map(|name| format!("tbot links {name}")));
    if tree.lines().any(|line| line == VERIFYING) {
        complaints.push(format!("tbot links {VERIFYING}"));
    }
    for banned in ["ring", "openssl", "openssl-sys"] {
        if links(&self::tree(&["--workspace"])?, banned) {
            complaints.push(format!("{banned} is in the tree: cargo tree -i {banned}"));
        }
    }
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    Ok(())
}

fn edges(package: &Value, layers: &BTreeMap<&str, Option<i64>>, complaints: &mut Vec<String>) {
    let name = package["name"].as_str().unwrap_or_default();
    let Some(Some(layer)) = layers.get(name).copied() else { return };
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let to = dependency["name"].as_str().unwrap_or_default();
        if dependency["kind"].as_str() == Some("dev") || dependency["path"].is_null() {
            continue;
        }
        match layers.get(to) {
            Some(Some(lower)) if *lower < layer || SIDEWAYS.contains(&(name, to)) => {}
            Some(Some(other)) => complaints.push(format!("{name} (layer {layer}) depends on {to} (layer {other})")),
            _ => complaints.push(format!("{name} ships and depends on {to}, which is for tests")),
        }
        if ADAPTERS.contains(&to) && name != "daemon" {
            complaints.push(format!("{name} names the adapter {to}; only daemon may"));
        }
    }
}

/// The names of all packages that a build with these arguments links.
fn tree(arguments: &[&str]) -> Result<String> {
    let output = Command::new("cargo")
        .args(["tree", "--locked", "--edges", "normal,build,features", "--prefix", "none", "--format", "{p}"])
        .args(arguments)
        .output()
        .context("cannot run cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn links(tree: &str, name: &str) -> bool {
    tree.lines().any(|line| line.split(' ').next() == Some(name))
}
