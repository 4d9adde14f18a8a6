//! What a watch stream carries: the beginning, changed resources, and the names of deleted ones.

use domain::{AnyResource, Error, Kind, Metadata};

use super::{static_tokens::StaticToken, wire::Wire};
use crate::r#gen::{
    proto::{self, Operation, event::Resource as Carried},
    types,
};

/// An event as programs use it.
#[derive(Debug, Clone)]
pub enum Event {
    /// The first of a stream: from here on nothing is missed. The kinds are those that the server accepted.
    Init(Vec<types::WatchKind>),
    /// A resource was made or changed.
    Put(Box<AnyResource>),
    /// The tokens of the configuration file changed.
    StaticTokens(Vec<StaticToken>),
    /// A resource is gone.
    Delete {
        /// Its kind.
        kind: Kind,
        /// Its kind within the kind.
        sub_kind: String,
        /// Its name.
        name: String,
    },
}

/// The first message of a stream.
#[must_use]
pub fn init(kinds: Vec<types::WatchKind>) -> proto::Event {
    let status = types::WatchStatusV1 {
        kind: "watch_status".to_owned(),
        sub_kind: String::new(),
        version: "v1".to_owned(),
        metadata: Some(types::Metadata { name: "watch-status".to_owned(), ..Default::default() }),
        spec: Some(types::WatchStatusSpecV1 { kinds }),
    };
    event(Operation::Init, Carried::WatchStatus(status))
}

/// A resource that was made or changed. `None`: watchers cannot be told about this kind.
#[must_use]
pub fn put(resource: &AnyResource) -> Option<proto::Event> {
    carried(resource).map(|carried| event(Operation::Put, carried))
}

/// A resource that is gone.
#[must_use]
pub fn delete(kind: Kind, sub_kind: &str, version: &str, name: &str) -> proto::Event {
    let header = types::ResourceHeader {
        kind: kind.as_str().to_owned(),
        sub_kind: sub_kind.to_owned(),
        version: version.to_owned(),
        metadata: Metadata::named(name).to_wire(),
    };
    event(Operation::Delete, Carried::ResourceHeader(header))
}

fn event(operation: Operation, resource: Carried) -> proto::Event {
    proto::Event { r#type: operation.into(), resource: Some(resource) }
}

macro_rules! carried {
    ($($ours:ident = $theirs:ident),* $(,)?) => {
        fn carried(resource: &AnyResource) -> Option<Carried> {
            match resource {
                $(AnyResource::$ours(document) => Some(Carried::$theirs(document.to_wire())),)*
                #[allow(unreachable_patterns, reason = "kinds to come")]
                _ => None,
            }
        }

        fn document(carried: Carried) -> Result<AnyResource, Error> {
            match carried {
                $(Carried::$theirs(message) => Wire::from_wire(message).map(AnyResource::$ours),)*
                other => Err(Error::unsupported(format!("a watch event with {} is not supported yet", name(&other)))),
            }
        }
    };
}

/// What an event carries, for an error.
const fn name(carried: &Carried) -> &'static str {
    match carried {
        Carried::ResourceHeader(_) => "a header only",
        Carried::AppSession(_) => "an application session",
        Carried::WatchStatus(_) => "the status of the watch",
        _ => "this kind of resource",
    }
}

/// Reads an event of a stream.
///
/// # Errors
/// When it carries nothing, or something that has no meaning here.
pub fn from_wire(message: proto::Event) -> Result<Event, Error> {
    let operation = message.r#type();
    match (operation, message.resource) {
        (Operation::Init, Some(Carried::WatchStatus(status))) => Ok(Event::Init(status.spec.unwrap_or_default().kinds)),
        (Operation::Init, _) => Ok(Event::Init(Vec::new())),
        (_, None) => Err(Error::invalid("a watch event without a resource")),
        (Operation::Delete, Some(Carried::ResourceHeader(header))) => {
            let kind = Kind::parse(&header.kind)
                .ok_or_else(|| Error::unsupported(format!("kind {:?} is not supported yet", header.kind)))?;
            let name = header.metadata.unwrap_or_default().name;
            Ok(Event::Delete { kind, sub_kind: header.sub_kind, name })
        }
        (Operation::Delete, Some(_)) => Err(Error::invalid("a watch event that deletes without a header")),
        (Operation::Put, Some(Carried::StaticTokens(tokens))) => {
            super::static_tokens::from_wire(tokens).map(Event::StaticTokens)
        }
        (Operation::Put, Some(carried)) => document(carried).map(|document| Event::Put(Box::new(document))),
    }
}

carried! {
    Role = Role, User = User, Token = ProvisionToken, BotInstance = BotInstance, Lock = Lock,
    CertAuthority = CertAuthority, ClusterName = ClusterName, AuthPreference = AuthPreference,
    NetworkingConfig = ClusterNetworkingConfig, SessionRecordingConfig = SessionRecordingConfig,
    AuditConfig = ClusterAuditConfig, App = App, AppServer = AppServer,
}
