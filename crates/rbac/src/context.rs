//! What a rule's `where` can look at besides the caller.

use std::collections::BTreeMap;

use domain::Resource;
use predicate::{Environment, Value};

/// A name with labels: a resource, a user or a role that a condition is about.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The name.
    pub name: &'a str,
    /// The labels.
    pub labels: &'a BTreeMap<String, String>,
}

impl<'a> Named<'a> {
    /// A resource as conditions see it.
    pub fn of(resource: &'a impl Resource) -> Self {
        Self { name: resource.name(), labels: &resource.metadata().labels }
    }
}

/// A host certificate that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct HostCert<'a> {
    /// The cluster that it is for.
    pub cluster_name: &'a str,
    /// The id of the host; may be empty.
    pub host_id: &'a str,
    /// The name of the host; may be empty.
    pub node_name: &'a str,
    /// Every name that the certificate would carry, also those made from id and name of the host.
    pub principals: &'a [String],
    /// What kind of host.
    pub role: &'a str,
}

/// What a request is about. What is left out is unknown: an `allow` rule whose condition needs it does not apply, a
/// `deny` rule does.
#[derive(Debug, Clone, Copy, Default)]
pub struct RuleContext<'a> {
    /// The resource that the verb is for.
    pub resource: Option<Named<'a>>,
    /// Who took part in a recorded session.
    pub session_participants: Option<&'a [String]>,
    /// Who takes part in a running session.
    pub tracker_participants: Option<&'a [String]>,
    /// The role to be impersonated.
    pub impersonate_role: Option<Named<'a>>,
    /// The user to be impersonated.
    pub impersonate_user: Option<Named<'a>>,
    /// The host certificate to be issued.
    pub host_cert: Option<HostCert<'a>>,
}

impl<'a> RuleContext<'a> {
    /// A request about no resource in particular.
    pub const NONE: RuleContext<'static> = RuleContext {
        resource: None,
        session_participants: None,
        tracker_participants: None,
        impersonate_role: None,
        impersonate_user: None,
        host_cert: None,
    };

    /// A request about one resource.
    pub fn of(resource: &'a impl Resource) -> Self {
        Self { resource: Some(Named::of(resource)), ..Self::default() }
    }
}

/// The caller as conditions see it.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) username: String,
    pub(crate) roles: Vec<String>,
    pub(crate) traits: BTreeMap<String, Vec<String>>,
}

impl Subject {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "user.metadata.name" => Value::text(&self.username),
            "user.spec.roles" => Value::list(&self.roles),
            // For local users the traits of the outside are all traits, so both words mean the same.
            "user.spec.traits" | "internal" | "external" => Value::Traits(&self.traits),
            _ => Value::Absent,
        }
    }
}

impl Environment for Subject {
    fn field(&self, name: &str) -> Value<'_> {
        Self::field(self, name)
    }
}

/// The environment of `where`.
pub(crate) struct WhereEnvironment<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) context: &'a RuleContext<'a>,
}

impl Environment for WhereEnvironment<'_> {
    fn field(&self, name: &str) -> Value<'_> {
        fn value<'v>(named: Option<Named<'v>>, field: &str) -> Value<'v> {
            match named {
                None => Value::Absent,
                Some(named) if field == "metadata.name" => Value::text(named.name),
                Some(named) => Value::Labels(named.labels),
            }
        }
        fn participants(list: Option<&[String]>) -> Value<'_> {
            list.map_or(Value::Absent, Value::list)
        }
        match name.split_once('.') {
            Some(("resource", field)) => value(self.context.resource, field),
            Some(("impersonate_role", field)) => value(self.context.impersonate_role, field),
            Some(("impersonate_user", field)) => value(self.context.impersonate_user, field),
            Some(("host_cert", field)) => self.context.host_cert.map_or(Value::Absent, |host| match field {
                "cluster_name" => Value::text(host.cluster_name),
                "host_id" => Value::text(host.host_id),
                "node_name" => Value::text(host.node_name),
                "principals" => Value::list(host.principals),
                "role" => Value::text(host.role),
                _ => Value::Absent,
            }),
            Some(("session", _)) => participants(self.context.session_participants),
            Some(("session_tracker", _)) => participants(self.context.tracker_participants),
            _ => self.subject.field(name),
        }
    }
}

/// The environment of a label expression.
pub(crate) struct LabelsEnvironment<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) labels: &'a BTreeMap<String, String>,
}

impl Environment for LabelsEnvironment<'_> {
    fn field(&self, name: &str) -> Value<'_> {
        if name == "labels" { Value::Labels(self.labels) } else { self.subject.field(name) }
    }
}
