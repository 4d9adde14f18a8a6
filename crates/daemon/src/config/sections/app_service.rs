//! `app_service:`: the agent beside applications. Not built yet.

use super::ssh_service::COMMANDS;
use crate::config::schema::Schema::{self, Any, Flag, Free, List, Map, Text, Texts};

/// Dynamic resources that an agent picks up by label.
pub(super) const RESOURCES: Schema = List(&Map(&[("labels", Free), ("aws", Any)]));

/// Its keys.
pub(super) const SCHEMA: Schema = Map(&[
    ("enabled", Flag),
    ("debug_app", Flag),
    ("mcp_demo_server", Flag),
    ("resources", RESOURCES),
    ("allowed_hosts", Texts),
    ("denied_hosts", Texts),
    ("apps", List(&APP)),
]);

const APP: Schema = Map(&[
    ("name", Text),
    ("description", Text),
    ("uri", Text),
    ("public_addr", Text),
    ("labels", Free),
    ("commands", COMMANDS),
    ("insecure_skip_verify", Flag),
    ("required_apps", Texts),
    ("use_any_proxy_public_addr", Flag),
    ("cloud", Text),
    ("aws", Any),
    ("tcp_ports", Any),
    ("mcp", Map(&[("command", Text), ("args", Texts), ("run_as_host_user", Text)])),
    ("rewrite", Map(&[("redirect", Texts), ("headers", Any), ("jwt_claims", Text)])),
    (
        "cors",
        Map(&[
            ("allowed_origins", Texts),
            ("allowed_methods", Texts),
            ("allowed_headers", Texts),
            ("exposed_headers", Texts),
            ("allow_credentials", Flag),
            ("max_age", Any),
        ]),
    ),
]);
