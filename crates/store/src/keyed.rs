//! Where each kind of resource lies: its kind, a group within it for some kinds, and its name.

use domain::resources::{
    App, AppServer, AuditConfig, AuthPreference, Bot, BotInstance, CertAuthority, ClusterName, Lock, NetworkingConfig,
    Role, SessionRecordingConfig, Token, User,
};
use domain::{AnyResource, Resource};
use storage::{Key, Prefix};

/// A resource that has a place in storage.
pub trait Keyed: Resource {
    /// Whether the kind has groups, so that names are unique only within one. A group never contains `/`.
    const GROUPED: bool = false;

    /// The group of this resource: an authority's type, an instance's bot, an application server's host.
    fn group(&self) -> &str {
        ""
    }

    /// The key of this resource.
    fn key(&self) -> Key {
        key_of::<Self>(self.group(), self.name())
    }
}

/// The group of a resource whose kind is known only at run time.
pub fn group_of(resource: &AnyResource) -> &str {
    match resource {
        AnyResource::CertAuthority(authority) => authority.group(),
        AnyResource::BotInstance(instance) => instance.group(),
        AnyResource::AppServer(server) => server.group(),
        _ => "",
    }
}

/// The key of the resource of this group and name.
pub(crate) fn key_of<T: Keyed>(group: &str, name: &str) -> Key {
    Key::with_sub(T::KIND.as_str(), group, name)
}

/// The keys of a kind, or of one group of it.
pub(crate) fn prefix_of<T: Keyed>(group: Option<&str>) -> Prefix {
    match group {
        Some(group) => Prefix::sub(T::KIND.as_str(), group),
        None => Prefix::kind(T::KIND.as_str()),
    }
}

macro_rules! ungrouped {
    ($($resource:ident),+ $(,)?) => { $(impl Keyed for $resource {})+ };
}

ungrouped!(
    App,
    AuditConfig,
    AuthPreference,
    Bot,
    ClusterName,
    Lock,
    NetworkingConfig,
    Role,
    SessionRecordingConfig,
    Token,
    User,
);

impl Keyed for CertAuthority {
    const GROUPED: bool = true;

    fn group(&self) -> &str {
        self.ca_type().as_str()
    }
}

impl Keyed for BotInstance {
    const GROUPED: bool = true;

    fn group(&self) -> &str {
        &self.spec.bot_name
    }
}

impl Keyed for AppServer {
    const GROUPED: bool = true;

    fn group(&self) -> &str {
        &self.spec.host_id
    }
}
