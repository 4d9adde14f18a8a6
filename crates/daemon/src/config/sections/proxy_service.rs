//! `proxy_service:`: the one public port.

use std::{path::PathBuf, time::Duration};

use domain::form::duration;
use net::proxy_protocol::Mode;
use serde::{Serialize, Serializer};

use crate::config::{Version, address::Address, fields::Fields, schema::Schema};

/// The public port.
const WEB_PORT: u16 = 3080;
/// Where SSH clients connect, if they have a port of their own.
const SSH_PORT: u16 = 3023;
/// Where agents connect, if they have a port of their own.
const TUNNEL_PORT: u16 = 3024;

/// The proxy.
#[derive(Clone, Debug, Serialize)]
pub struct ProxyService {
    /// Whether it runs in this process.
    pub enabled: bool,
    /// The public port.
    pub web_listen_addr: Address,
    /// How people and programs reach the public port; applications are names below it.
    pub public_addr: Vec<Address>,
    /// A further port, for SSH clients; it carries everything, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_addr: Option<Address>,
    /// A further port, for agents; it carries everything, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_listen_addr: Option<Address>,
    /// How SSH clients reach it, where that differs.
    pub ssh_public_addr: Vec<Address>,
    /// How agents reach it, where that differs.
    pub tunnel_public_addr: Vec<Address>,
    /// How other proxies reach this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_public_addr: Option<Address>,
    /// The public certificates; none: the proxy shows its host certificate.
    pub https_keypairs: Vec<KeyPair>,
    /// How often the files are looked at; zero: only at the start.
    #[serde(serialize_with = "duration::go::serialize")]
    pub https_keypairs_reload_interval: Duration,
    /// Where certificates of the public port are ordered, if they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<Acme>,
    /// Whether a balancer's `X-Forwarded-For` is believed.
    pub trust_x_forwarded_for: bool,
    /// Whether connections begin with a PROXY header.
    #[serde(serialize_with = "mode", skip_serializing_if = "is_unspecified")]
    pub proxy_protocol: Mode,
}

/// The files of a public certificate.
#[derive(Clone, Debug, Serialize)]
pub struct KeyPair {
    /// The key.
    pub key_file: PathBuf,
    /// The chain, leaf first.
    pub cert_file: PathBuf,
    /// Where the pair stands, as `file:line:column`.
    #[serde(skip)]
    pub place: String,
}

/// Certificates from an ACME authority.
#[derive(Clone, Debug, Serialize)]
pub struct Acme {
    /// Always.
    pub enabled: bool,
    /// Whom the authority writes to.
    pub email: String,
    /// The authority's directory.
    pub uri: String,
    /// A plain port that the authority can ask, where TLS does not come through to the public one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_listen_addr: Option<Address>,
}

/// Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Where authorities ask by HTTP.
const HTTP_PORT: u16 = 80;

/// How often the files of the public certificates are looked at.
const RELOAD: Duration = Duration::from_secs(30);

const KUBERNETES: Schema = Schema::Map(&[
    ("enabled", Schema::Flag),
    ("listen_addr", Schema::Text),
    ("public_addr", Schema::Texts),
    ("kubeconfig_file", Schema::Text),
]);

const UI: Schema = Schema::Map(&[("scrollback_lines", Schema::Number), ("show_resources", Schema::Text)]);

pub(super) fn read(fields: &Fields<'_>, version: Version) -> ProxyService {
    let everywhere = |port| Address { host: "0.0.0.0".to_owned(), port };
    let separate = |port| (version == Version::V1).then(|| everywhere(port));
    let web_listen_addr = fields.address("web_listen_addr", WEB_PORT).unwrap_or_else(|| everywhere(WEB_PORT));
    let modes = [("on", Mode::On), ("off", Mode::Off)];
    let service = ProxyService {
        // A section is there to be used.
        enabled: fields.flag("enabled").unwrap_or(!fields.is_empty()),
        public_addr: fields.addresses("public_addr", web_listen_addr.port),
        listen_addr: fields.address("listen_addr", SSH_PORT).or_else(|| separate(SSH_PORT)),
        tunnel_listen_addr: fields.address("tunnel_listen_addr", TUNNEL_PORT).or_else(|| separate(TUNNEL_PORT)),
        ssh_public_addr: fields.addresses("ssh_public_addr", SSH_PORT),
        tunnel_public_addr: fields.addresses("tunnel_public_addr", TUNNEL_PORT),
        peer_public_addr: fields.address("peer_public_addr", web_listen_addr.port),
        https_keypairs: key_pairs(fields),
        https_keypairs_reload_interval: fields.duration("https_keypairs_reload_interval").unwrap_or(RELOAD),
        acme: acme(fields),
        trust_x_forwarded_for: fields.flag("trust_x_forwarded_for").unwrap_or_default(),
        proxy_protocol: fields.choice("proxy_protocol", &modes).unwrap_or_default(),
        web_listen_addr,
    };
    later(fields);
    fields.finish();
    service
}

/// Keys of parts that are not built, and keys that no longer matter.
fn later(fields: &Fields<'_>) {
    fields.unsupported("kubernetes", &KUBERNETES, "remove it");
    fields.unsupported("peer_listen_addr", &Schema::Text, "remove it: other proxies come through web_listen_addr");
    for key in ["kube_listen_addr", "mysql_listen_addr", "postgres_listen_addr", "mongo_listen_addr"] {
        fields.unsupported(key, &Schema::Text, "remove it");
    }
    for key in ["kube_public_addr", "mysql_public_addr", "postgres_public_addr", "mongo_public_addr"] {
        fields.unsupported(key, &Schema::Texts, "remove it");
    }
    fields.unsupported("proxy_group_id", &Schema::Text, "remove it");
    for key in ["automatic_upgrades_channels", "idp", "assist"] {
        fields.unsupported(key, &Schema::Any, "remove it");
    }
    fields.ineffective("mysql_server_version", &Schema::Text);
    fields.ineffective("proxy_protocol_allow_downgrade", &Schema::Flag);
    fields.ineffective("ui", &UI);
}

fn acme(fields: &Fields<'_>) -> Option<Acme> {
    let section = fields.section("acme")?;
    let enabled = section.flag("enabled").unwrap_or_default();
    let is_https = |text: &str| match text.strip_prefix("https://") {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(text.to_owned()),
        _ => Err("must be the https:// URL of an ACME directory".to_owned()),
    };
    let acme = Acme {
        enabled,
        email: section.text("email").unwrap_or_default(),
        uri: section.parsed("uri", is_https).unwrap_or_else(|| LETS_ENCRYPT.to_owned()),
        http_listen_addr: section.address("http_listen_addr", HTTP_PORT),
    };
    section.finish();
    enabled.then_some(acme)
}

/// The list, or the one pair as version 1 writes it.
fn key_pairs(fields: &Fields<'_>) -> Vec<KeyPair> {
    let mut pairs = Vec::new();
    let mut add = |fields: &Fields<'_>, [key, certificate]: [&'static str; 2]| match (
        fields.text(key).map(PathBuf::from),
        fields.text(certificate).map(PathBuf::from),
    ) {
        (Some(key_file), Some(cert_file)) => pairs.push(KeyPair { key_file, cert_file, place: fields.place() }),
        (None, None) => {}
        (None, Some(_)) => fields.refuse(key, "is missing", "a certificate needs its key"),
        (Some(_), None) => fields.refuse(certificate, "is missing", "a key needs its certificate"),
    };
    add(fields, ["https_key_file", "https_cert_file"]);
    for each in fields.sections("https_keypairs") {
        add(&each, ["key_file", "cert_file"]);
        each.finish();
    }
    pairs
}

fn is_unspecified(mode: &Mode) -> bool {
    *mode == Mode::Unspecified
}

fn mode<S: Serializer>(mode: &Mode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *mode == Mode::On { "on" } else { "off" })
}
