//! `proxy_service:`: the one public port. Not built yet.

use crate::config::schema::Schema::{self, Duration, Flag, List, Map, Text, Texts};

/// Its keys.
pub(super) const SCHEMA: Schema = Map(&[
    ("enabled", Flag),
    ("web_listen_addr", Text),
    ("public_addr", Texts),
    ("listen_addr", Text),
    ("tunnel_listen_addr", Text),
    ("peer_listen_addr", Text),
    ("peer_public_addr", Text),
    ("ssh_public_addr", Texts),
    ("tunnel_public_addr", Texts),
    ("kube_listen_addr", Text),
    ("kube_public_addr", Texts),
    ("kubernetes", Map(&[("enabled", Flag), ("listen_addr", Text), ("public_addr", Texts), ("kubeconfig_file", Text)])),
    ("mysql_listen_addr", Text),
    ("mysql_public_addr", Texts),
    ("mysql_server_version", Text),
    ("postgres_listen_addr", Text),
    ("postgres_public_addr", Texts),
    ("mongo_listen_addr", Text),
    ("mongo_public_addr", Texts),
    ("https_key_file", Text),
    ("https_cert_file", Text),
    ("https_keypairs", List(&Map(&[("key_file", Text), ("cert_file", Text)]))),
    ("https_keypairs_reload_interval", Duration),
    ("acme", Map(&[("enabled", Flag), ("email", Text), ("uri", Text)])),
    ("trust_x_forwarded_for", Flag),
    ("proxy_protocol", Text),
    ("proxy_protocol_allow_downgrade", Flag),
    ("proxy_group_id", Text),
    ("ui", Map(&[("scrollback_lines", Schema::Number), ("show_resources", Text)])),
    ("automatic_upgrades_channels", Schema::Any),
    ("idp", Schema::Any),
    ("assist", Schema::Any),
]);
