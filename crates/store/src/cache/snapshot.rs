//! What the cache holds at one moment.

use std::sync::Arc;

use bytes::Bytes;
use domain::ca::CaType;
use domain::resources::{
    App, AppServer, AuditConfig, AuthPreference, CertAuthority, ClusterName, Lock, NetworkingConfig, Role,
    SessionRecordingConfig, User,
};
use domain::{AnyResource, Error, Kind, Resource, Timestamp};
use storage::{Cursor, Item, Key, Revision};

use super::table::{Entry, Table};
use crate::changes::decode_any;
use crate::repository::decode_value;

macro_rules! tables {
    ($($field:ident: $resource:ident),+ $(,)?) => {
        /// One table for each cached kind. A copy shares all that does not change.
        #[derive(Debug, Clone, Default)]
        pub struct Tables {
            roles: Arc<Table<PackedRole>>,
            $($field: Arc<Table<$resource>>,)+
        }

        impl Tables {
            /// Takes in what storage holds, unless something later is there already.
            pub(super) fn put(&mut self, item: &Item) -> Result<(), Error> {
                let place = place(item.key.sub_kind(), item.key.name());
                let (cursor, expires) = (item.cursor, item.expires);
                if item.key.kind() == Role::KIND.as_str() {
                    let packed = PackedRole { value: item.value.clone(), revision: item.revision };
                    Arc::make_mut(&mut self.roles).put(&place, Entry { resource: Arc::new(packed), cursor, expires });
                    return Ok(());
                }
                match decode_any(item)? {
                    $(AnyResource::$resource(resource) => {
                        Arc::make_mut(&mut self.$field).put(&place, Entry { resource: Arc::new(resource), cursor, expires });
                    })+
                    _ => {}
                }
                Ok(())
            }

            /// Takes out what was removed, unless it was written later.
            pub(super) fn remove(&mut self, key: &Key, cursor: Cursor) {
                let place = place(key.sub_kind(), key.name());
                match Kind::parse(key.kind()) {
                    Some(Role::KIND) => Arc::make_mut(&mut self.roles).remove(&place, cursor),
                    $(Some($resource::KIND) => Arc::make_mut(&mut self.$field).remove(&place, cursor),)+
                    _ => {}
                }
            }
        }
    };
}

tables! {
    authorities: CertAuthority,
    cluster_name: ClusterName,
    auth_preference: AuthPreference,
    networking: NetworkingConfig,
    session_recording: SessionRecordingConfig,
    audit_config: AuditConfig,
    users: User,
    locks: Lock,
    apps: App,
    app_servers: AppServer,
}

/// A role as it is stored. Each bot has one, a few hundred bytes as a document and many times that in memory; who
/// decides keeps a compiled form of those in use.
#[derive(Debug)]
struct PackedRole {
    value: Bytes,
    revision: Revision,
}

impl PackedRole {
    /// A role that cannot be read is as good as missing: whoever holds it is refused.
    fn unpack(&self) -> Option<Arc<Role>> {
        decode_value::<Role>(&self.value, self.revision).ok().map(|stored| Arc::new(stored.value))
    }
}

/// The name under which a table keeps a resource: unique, as no group contains a slash.
fn place(group: &str, name: &str) -> String {
    format!("{group}/{name}")
}

/// A consistent view of the cache: all of a batch or none of it, and nothing that had expired when it was taken.
#[derive(Debug, Clone)]
pub struct Snapshot {
    tables: Arc<Tables>,
    now: Timestamp,
}

macro_rules! singletons {
    ($($(#[$doc:meta])* $field:ident: $resource:ident),+ $(,)?) => {
        $(
            $(#[$doc])*
            pub fn $field(&self) -> Option<Arc<$resource>> {
                let name = $resource::KIND.singleton_name()?;
                self.tables.$field.get(&place("", name), self.now).cloned()
            }
        )+
    };
}

impl Snapshot {
    pub(super) fn new(tables: Arc<Tables>, now: Timestamp) -> Self {
        Self { tables, now }
    }

    /// The authority of this type of a cluster, with its sealed keys.
    pub fn authority(&self, ca_type: CaType, cluster: &str) -> Option<Arc<CertAuthority>> {
        self.tables.authorities.get(&place(ca_type.as_str(), cluster), self.now).cloned()
    }

    /// All authorities, of all clusters.
    pub fn authorities(&self) -> impl Iterator<Item = &Arc<CertAuthority>> {
        self.tables.authorities.iter(self.now)
    }

    /// A role, read from its stored form each time: keep what you make of it. A role that cannot be read is missing.
    pub fn role(&self, name: &str) -> Option<Arc<Role>> {
        self.tables.roles.get(&place("", name), self.now).and_then(|packed| packed.unpack())
    }

    /// All roles that can be read, in no order; as costly as reading each.
    pub fn roles(&self) -> impl Iterator<Item = Arc<Role>> {
        self.tables.roles.iter(self.now).filter_map(|packed| packed.unpack())
    }

    /// A user.
    pub fn user(&self, name: &str) -> Option<Arc<User>> {
        self.tables.users.get(&place("", name), self.now).cloned()
    }

    /// All users, in no order.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.tables.users.iter(self.now)
    }

    /// All locks that are stored; whether one is in force it says itself.
    pub fn locks(&self) -> impl Iterator<Item = &Arc<Lock>> {
        self.tables.locks.iter(self.now)
    }

    /// An application.
    pub fn app(&self, name: &str) -> Option<Arc<App>> {
        self.tables.apps.get(&place("", name), self.now).cloned()
    }

    /// All applications, in no order.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.tables.apps.iter(self.now)
    }

    /// All application servers, in no order.
    pub fn app_servers(&self) -> impl Iterator<Item = &Arc<AppServer>> {
        self.tables.app_servers.iter(self.now)
    }

    singletons! {
        /// The name and id of the cluster.
        cluster_name: ClusterName,
        /// How people authenticate, and the signature suite.
        auth_preference: AuthPreference,
        /// The networking configuration.
        networking: NetworkingConfig,
        /// The recording configuration.
        session_recording: SessionRecordingConfig,
        /// The audit configuration.
        audit_config: AuditConfig,
    }
}
