//! Sections of agents that come last, or not at all: databases, Kubernetes, discovery, Windows desktops.

use super::{app_service::RESOURCES, ssh_service::COMMANDS};
use crate::config::schema::Schema::{self, Any, Flag, Free, List, Map, Text, Texts};

/// Databases.
pub(super) const DB_SERVICE: Schema = Map(&[
    ("enabled", Flag),
    ("resources", RESOURCES),
    ("aws", Any),
    ("azure", Any),
    (
        "databases",
        List(&Map(&[
            ("name", Text),
            ("description", Text),
            ("protocol", Text),
            ("uri", Text),
            ("static_labels", Free),
            ("dynamic_labels", COMMANDS),
            ("ca_cert_file", Text),
            ("tls", Any),
            ("mysql", Any),
            ("aws", Any),
            ("gcp", Any),
            ("azure", Any),
            ("ad", Any),
            ("oracle", Any),
            ("admin_user", Any),
        ])),
    ),
]);

/// Kubernetes clusters.
pub(super) const KUBERNETES_SERVICE: Schema = Map(&[
    ("enabled", Flag),
    ("listen_addr", Text),
    ("public_addr", Texts),
    ("kubeconfig_file", Text),
    ("kube_cluster_name", Text),
    ("labels", Free),
    ("commands", COMMANDS),
    ("resources", RESOURCES),
]);

/// Resources found in clouds.
pub(super) const DISCOVERY_SERVICE: Schema = Map(&[
    ("enabled", Flag),
    ("aws", Any),
    ("azure", Any),
    ("gcp", Any),
    ("kubernetes", Any),
    ("access_graph", Any),
    ("discovery_group", Text),
    ("poll_interval", Schema::Duration),
]);

/// Windows desktops.
pub(super) const WINDOWS_DESKTOP_SERVICE: Schema = Map(&[
    ("enabled", Flag),
    ("listen_addr", Text),
    ("public_addr", Texts),
    ("show_desktop_wallpaper", Flag),
    ("ldap", Any),
    ("discovery", Any),
    ("discovery_configs", Any),
    ("discovery_interval", Schema::Duration),
    ("publish_crl_interval", Schema::Duration),
    ("resources", RESOURCES),
    ("static_hosts", Any),
    ("hosts", Any),
    ("non_ad_hosts", Any),
    ("host_labels", Any),
    ("labels", Free),
    ("pki_domain", Text),
    ("kdc_address", Text),
]);

/// Accounts of an identity provider.
pub(super) const OKTA_SERVICE: Schema = Map(&[
    ("enabled", Flag),
    ("api_endpoint", Text),
    ("api_token_path", Text),
    ("sync_period", Schema::Duration),
    ("sync", Any),
]);

/// Devices of a management service.
pub(super) const JAMF_SERVICE: Schema = Map(&[
    ("enabled", Flag),
    ("name", Text),
    ("sync_delay", Schema::Duration),
    ("exit_on_sync", Flag),
    ("api_endpoint", Text),
    ("username", Text),
    ("password_file", Text),
    ("client_id", Text),
    ("client_secret_file", Text),
    ("inventory", Any),
]);

/// Tunnels near the agents.
pub(super) const RELAY_SERVICE: Schema = Map(&[
    ("enabled", Flag),
    ("relay_group", Text),
    ("target_connection_count", Schema::Number),
    ("public_hostnames", Texts),
    ("transport_listen_addr", Text),
    ("transport_proxy_protocol", Flag),
    ("peer_listen_addr", Text),
    ("peer_public_addr", Text),
    ("tunnel_listen_addr", Text),
    ("tunnel_public_addr", Text),
    ("tunnel_proxy_protocol", Flag),
]);
