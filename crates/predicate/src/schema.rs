//! The languages: which fields and functions each use of expressions has.

use crate::{
    function::Function::{
        self, AllEndWith, AllEqual, Between, Contains, ContainsAll, ContainsAny, EmailLocal, Equals, Exists, HasPrefix,
        IsSubset, LabelsMatching, Lower, NewerThan, OlderThan, RegexMatch, RegexReplace, Search, Set, Split, Upper,
    },
    value::Type,
};

/// A language: what an expression may name.
#[derive(Debug)]
pub struct Schema {
    /// The fields, with their types.
    pub(crate) fields: &'static [(&'static str, Type)],
    /// First segments of paths whose fields are not declared: their type is known when they are evaluated.
    pub(crate) trees: &'static [&'static str],
    pub(crate) functions: &'static [Function],
    /// Whether `==` and `!=` exist.
    pub(crate) comparisons: bool,
}

/// `where` of a role's rules and of `impersonate`.
pub static WHERE: Schema = Schema {
    fields: &[
        ("user.metadata.name", Type::Text),
        ("user.spec.roles", Type::List),
        ("user.spec.traits", Type::Traits),
        ("session.participants", Type::List),
        ("session_tracker.participants", Type::List),
        ("impersonate_role.metadata.name", Type::Text),
        ("impersonate_role.metadata.labels", Type::Labels),
        ("impersonate_user.metadata.name", Type::Text),
        ("impersonate_user.metadata.labels", Type::Labels),
        ("resource.metadata.name", Type::Text),
        ("resource.metadata.labels", Type::Labels),
        ("host_cert.cluster_name", Type::Text),
        ("host_cert.host_id", Type::Text),
        ("host_cert.node_name", Type::Text),
        ("host_cert.principals", Type::List),
        ("host_cert.role", Type::Text),
    ],
    trees: &[],
    functions: &[Contains, Equals, AllEndWith, AllEqual, IsSubset],
    comparisons: false,
};

/// `*_labels_expression` of a role.
pub static LABELS: Schema = Schema {
    fields: &[
        ("labels", Type::Labels),
        ("user.metadata.name", Type::Text),
        ("user.spec.roles", Type::List),
        ("user.spec.traits", Type::Traits),
    ],
    trees: &[],
    functions: &[
        Contains,
        ContainsAny,
        ContainsAll,
        RegexMatch,
        RegexReplace,
        EmailLocal,
        Upper,
        Lower,
        LabelsMatching,
        Set,
    ],
    comparisons: true,
};

/// `where` of a role's `review_requests`, and `filter` of the thresholds of its `request`.
pub static REVIEW: Schema = Schema {
    fields: &[
        ("reviewer.roles", Type::List),
        ("reviewer.traits", Type::Traits),
        ("request.roles", Type::List),
        ("request.reason", Type::Text),
        ("request.system_annotations", Type::Traits),
        ("review.reason", Type::Text),
        ("review.annotations", Type::Traits),
    ],
    trees: &[],
    functions: &[Contains, Equals],
    comparisons: false,
};

/// `filter` of a role's `require_session_join`: whether somebody who is present counts.
pub static PARTICIPANT: Schema = Schema {
    fields: &[
        ("user.metadata.name", Type::Text),
        ("user.spec.roles", Type::List),
        ("user.spec.traits", Type::Traits),
        // As older documents write it.
        ("user.roles", Type::List),
        ("user.traits", Type::Traits),
    ],
    trees: &[],
    functions: &[Contains, Equals],
    comparisons: false,
};

/// `--query` of list commands.
pub static QUERY: Schema = Schema {
    fields: &[("labels", Type::Labels), ("name", Type::Text)],
    trees: &["resource", "health", "spec", "status", "metadata"],
    functions: &[Equals, Exists, Search, HasPrefix, Split, Contains, NewerThan, OlderThan, Between],
    comparisons: true,
};

/// `expression` of a workload identity's rules, and the templates of its fields.
pub static ATTRIBUTES: Schema = Schema {
    fields: &[],
    trees: &["join", "workload", "user"],
    functions: &[
        Contains,
        ContainsAny,
        ContainsAll,
        Equals,
        Exists,
        RegexMatch,
        RegexReplace,
        EmailLocal,
        Upper,
        Lower,
        Set,
    ],
    comparisons: true,
};

/// `{{…}}` in the values of a role.
pub static TRAITS: Schema = Schema {
    fields: &[("internal", Type::Traits), ("external", Type::Traits)],
    trees: &[],
    functions: &[EmailLocal, RegexReplace, Upper, Lower],
    comparisons: false,
};

/// The traits that `internal` has; every other name is a mistake of the writer and refused.
pub const INTERNAL_TRAITS: [&str; 16] = [
    "logins",
    "windows_logins",
    "kubernetes_groups",
    "kubernetes_users",
    "db_users",
    "db_names",
    "db_roles",
    "aws_role_arns",
    "azure_identities",
    "gcp_service_accounts",
    "github_orgs",
    "mcp_tools",
    "host_user_uid",
    "host_user_gid",
    "jwt",
    "default_relay_addr",
];

impl Schema {
    /// The longest declared field that begins a path, and the segments left over.
    pub(crate) fn field<'a>(&self, path: &'a [String]) -> Option<(&'static str, Type, &'a [String])> {
        let fits = |(name, kind): &(&'static str, Type)| {
            let length = name.split('.').count();
            let (head, rest) = path.split_at_checked(length)?;
            (head.join(".") == *name).then_some((*name, *kind, rest))
        };
        self.fields.iter().find_map(fits)
    }

    pub(crate) fn expected_fields(&self) -> String {
        let names = self.fields.iter().map(|(name, _)| (*name).to_owned());
        let trees = self.trees.iter().map(|tree| format!("{tree}.…"));
        format!("one of {}", names.chain(trees).collect::<Vec<_>>().join(", "))
    }
}
