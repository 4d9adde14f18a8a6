//! `ssh_service:`: the agent beside an SSH host. Not built yet.

use crate::config::schema::Schema::{self, Any, Duration, Flag, Free, List, Map, Number, Text, Texts};

/// A command whose output becomes a label.
pub(super) const COMMANDS: Schema = List(&Map(&[("name", Text), ("command", Texts), ("period", Duration)]));

/// Its keys.
pub(super) const SCHEMA: Schema = Map(&[
    ("enabled", Flag),
    ("listen_addr", Text),
    ("public_addr", Texts),
    ("labels", Free),
    ("commands", COMMANDS),
    ("permit_user_env", Flag),
    ("pam", Map(&[("enabled", Flag), ("service_name", Text), ("use_pam_auth", Flag), ("environment", Free)])),
    ("x11", Map(&[("enabled", Flag), ("display_offset", Number), ("max_display", Number)])),
    ("port_forwarding", Flag),
    ("ssh_file_copy", Flag),
    (
        "enhanced_recording",
        Map(&[
            ("enabled", Flag),
            ("command_buffer_size", Number),
            ("disk_buffer_size", Number),
            ("network_buffer_size", Number),
            ("cgroup_path", Text),
            ("root_path", Text),
        ]),
    ),
    ("restricted_session", Any),
    ("disable_create_host_user", Flag),
    ("force_listen", Flag),
]);
