//! The types of outputs and services: what each is called and which fields it has.

/// A type of output or service.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The value of `type`.
    pub name: &'static str,
    /// It writes artifacts and runs in one-shot mode too; the others live long.
    pub is_output: bool,
    /// It has a destination.
    pub has_destination: bool,
    /// It may narrow the roles.
    pub has_roles: bool,
    /// This build can run it.
    pub is_built: bool,
    pub(crate) fields: &'static [Field],
}

/// A field of a type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
}

/// What a field's value looks like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    Flag,
    Duration,
    Texts,
    Choice(&'static [&'static str]),
    Listen,
    Selector,
    Selectors,
    Any,
}

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: false }
}

const fn needed(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: true }
}

const fn output(name: &'static str, fields: &'static [Field]) -> Kind {
    Kind { name, is_output: true, has_destination: true, has_roles: true, is_built: false, fields }
}

const fn service(name: &'static str, fields: &'static [Field]) -> Kind {
    Kind { name, is_output: false, has_destination: false, has_roles: true, is_built: false, fields }
}

/// Every type.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        is_built: true,
        ..output(
            "identity",
            &[
                field("ssh_config", Shape::Choice(&["on", "off"])),
                field("allow_reissue", Shape::Flag),
                field("cluster", Shape::Text),
            ],
        )
    },
    Kind {
        is_built: true,
        ..output(
            "application",
            &[
                needed("app_name", Shape::Text),
                field("specific_tls_naming", Shape::Flag),
                field("specific_tls_extensions", Shape::Flag),
            ],
        )
    },
    output(
        "database",
        &[
            needed("service", Shape::Text),
            field("database", Shape::Text),
            field("username", Shape::Text),
            field("format", Shape::Choice(&["", "tls", "mongo", "cockroach"])),
        ],
    ),
    output("kubernetes", &[needed("kubernetes_cluster", Shape::Text), field("disable_exec_plugin", Shape::Flag)]),
    Kind {
        has_roles: false,
        ..output(
            "kubernetes/v2",
            &[
                needed("selectors", Shape::Selectors),
                field("disable_exec_plugin", Shape::Flag),
                field("context_name_template", Shape::Text),
                field("relay_server", Shape::Text),
            ],
        )
    },
    Kind {
        has_roles: false,
        has_destination: false,
        ..output(
            "kubernetes/argo-cd",
            &[
                needed("selectors", Shape::Selectors),
                field("secret_namespace", Shape::Text),
                field("secret_name_prefix", Shape::Text),
                field("secret_labels", Shape::Any),
                field("secret_annotations", Shape::Any),
                field("project", Shape::Text),
                field("namespaces", Shape::Texts),
                field("cluster_resources", Shape::Flag),
                field("cluster_name_template", Shape::Text),
            ],
        )
    },
    output("ssh_host", &[needed("principals", Shape::Texts), field("ca_type", Shape::Choice(&["user", "openssh"]))]),
    output(
        "workload-identity-x509",
        &[needed("selector", Shape::Selector), field("include_federated_trust_bundles", Shape::Flag)],
    ),
    output("workload-identity-jwt", &[needed("selector", Shape::Selector), needed("audiences", Shape::Texts)]),
    output(
        "workload-identity-aws-roles-anywhere",
        &[
            needed("selector", Shape::Selector),
            needed("role_arn", Shape::Text),
            needed("profile_arn", Shape::Text),
            needed("trust_anchor_arn", Shape::Text),
            field("region", Shape::Text),
            field("session_duration", Shape::Duration),
            field("session_renewal_interval", Shape::Duration),
            field("credential_profile_name", Shape::Text),
            field("artifact_name", Shape::Text),
            field("overwrite_credential_file", Shape::Flag),
        ],
    ),
    output("spiffe-svid", &[needed("svid", Shape::Any), field("jwts", Shape::Any)]),
    service(
        "workload-identity-api",
        &[needed("listen", Shape::Listen), needed("selector", Shape::Selector), field("attestors", Shape::Any)],
    ),
    service(
        "spiffe-workload-api",
        &[needed("listen", Shape::Listen), field("attestors", Shape::Any), field("svids", Shape::Any)],
    ),
    service(
        "database-tunnel",
        &[
            needed("listen", Shape::Listen),
            needed("service", Shape::Text),
            needed("database", Shape::Text),
            needed("username", Shape::Text),
        ],
    ),
    Kind {
        is_built: true,
        ..service("application-tunnel", &[needed("listen", Shape::Listen), needed("app_name", Shape::Text)])
    },
    Kind { is_built: true, ..service("application-proxy", &[needed("listen", Shape::Listen)]) },
    Kind {
        has_destination: true,
        ..service(
            "ssh-multiplexer",
            &[
                field("enable_resumption", Shape::Flag),
                field("proxy_command", Shape::Texts),
                field("proxy_templates_path", Shape::Text),
                field("relay_server", Shape::Text),
            ],
        )
    },
];
