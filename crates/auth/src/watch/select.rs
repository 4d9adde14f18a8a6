//! What one kind of a watch lets through: by permission, by name, by the kind's own filter.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use domain::{
    AnyResource, Error, Kind,
    ca::CaType,
    resources::{CertAuthority, Lock},
};
use rbac::{Family, Named, RuleContext, Verb};
use store::{Store, group_of};

use crate::{Auth, Caller, Operation, apps::is_reachable, decide::Asked};

/// One kind that a watcher asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchKind {
    /// The kind, as the request names it.
    pub kind: String,
    /// Whether secrets are asked for, too.
    pub with_secrets: bool,
    /// Only this one; empty for all.
    pub name: String,
    /// Only this kind within the kind; empty for all.
    pub sub_kind: String,
    /// Narrows further: for authorities from type to cluster, for locks the fields of a target. Others have none.
    pub filter: BTreeMap<String, String>,
}

/// What an entry of a map or a set takes beside its text, about.
const ENTRY: usize = 64;

impl WatchKind {
    /// What it takes to keep it.
    pub(super) fn size(&self) -> usize {
        let filter = self.filter.iter().map(|(key, value)| key.len() + value.len() + ENTRY).sum::<usize>();
        self.kind.len() + self.name.len() + self.sub_kind.len() + filter
    }
}

/// What is watched of one kind.
#[derive(Debug)]
pub(super) struct Selector {
    pub(super) kind: Kind,
    with_secrets: bool,
    name: String,
    sub_kind: String,
    filter: BTreeMap<String, String>,
    size: usize,
    sight: Sight,
}

/// Of which resources the watcher may know that they exist. What is gone has no labels left to decide by.
#[derive(Debug)]
enum Sight {
    /// Of all, whatever their names and labels are.
    All,
    /// Of these, by group and name.
    Some {
        known: HashSet<(String, String)>,
        /// What `known` takes.
        size: usize,
        /// Whether `known` is as complete as the watcher's roles allow now.
        is_current: bool,
    },
}

impl Sight {
    fn nothing() -> Self {
        Self::Some { known: HashSet::new(), size: 0, is_current: false }
    }

    /// Whether the watcher knew what was at this place, which it does not any more; nothing when it may know all.
    fn remove(&mut self, place: (String, String)) -> Option<bool> {
        let Self::Some { known, size, .. } = self else { return None };
        let is_known = known.remove(&place);
        if is_known {
            *size -= size_of_place(&place);
        }
        Some(is_known)
    }
}

/// Learns what there is now of that which the watcher may know, for several wishes about one kind.
///
/// # Errors
/// What storage says.
pub(super) async fn look(store: &Store, alike: &mut [Selector], caller: &Caller) -> Result<(), Error> {
    let kind = alike[0].kind;
    if alike.iter().any(|selector| selector.could_read(caller)) {
        let visit = |resource: &AnyResource| {
            for selector in alike.iter_mut().filter(|selector| selector.must_look()) {
                if selector.wants(caller, resource) {
                    selector.note(resource);
                }
            }
        };
        store.each_of(kind, visit).await?;
    }
    for selector in alike {
        if let Sight::Some { is_current, .. } = &mut selector.sight {
            *is_current = true;
        }
    }
    Ok(())
}

impl Selector {
    pub(super) fn new(auth: &Auth, caller: &Caller, wanted: &WatchKind) -> Result<Self, Error> {
        let kind = Kind::parse(&wanted.kind)
            .ok_or_else(|| Error::invalid(format!("kinds: {:?} is no kind of resource", wanted.kind)))?;
        if !can_be_watched(kind) {
            return Err(Error::unsupported(format!("watching kind {kind} is not supported yet")));
        }
        let mut selector = Self {
            kind,
            with_secrets: wanted.with_secrets,
            name: wanted.name.clone(),
            sub_kind: wanted.sub_kind.clone(),
            filter: wanted.filter.clone(),
            size: wanted.size(),
            sight: Sight::nothing(),
        };
        selector.permit(auth, caller)?;
        selector.access_changed(caller);
        Ok(selector)
    }

    /// The watcher's roles are others than before: what it has seen it goes on to know, as long as not all is open to it.
    pub(super) fn access_changed(&mut self, caller: &Caller) {
        let is_open = self.kind_is_open(caller);
        match &mut self.sight {
            sight if is_open => *sight = Sight::All,
            Sight::Some { is_current, .. } => *is_current = false,
            sight @ Sight::All => *sight = Sight::nothing(),
        }
    }

    /// Whether the caller may read every resource of the kind. A rule with a condition on the resource does not say so:
    /// without a resource it does not allow, and a denial with one denies.
    fn kind_is_open(&self, caller: &Caller) -> bool {
        match self.kind {
            Kind::App | Kind::AppServer => {
                caller.system_role().is_some()
                    && caller.access().check_rule(&RuleContext::NONE, Kind::App, Verb::Read).allowed
            }
            _ if self.is_for_everybody() => true,
            _ => caller.access().check_rule(&RuleContext::NONE, self.kind, self.verb()).allowed,
        }
    }

    /// How many bytes it keeps, about.
    pub(super) fn kept(&self) -> usize {
        match &self.sight {
            Sight::Some { size, .. } => self.size + size,
            Sight::All => self.size,
        }
    }

    /// Whether it does not know yet what there is of that which the watcher may know.
    pub(super) const fn must_look(&self) -> bool {
        matches!(self.sight, Sight::Some { is_current: false, .. })
    }

    /// Whether anything of the kind could be readable. Most callers reach no application at all.
    fn could_read(&self, caller: &Caller) -> bool {
        !matches!(self.kind, Kind::App | Kind::AppServer)
            || caller.system_role().is_some()
            || caller.access().may_reach(Family::App)
    }

    /// The watcher is told of this resource, and will be told when it goes.
    pub(super) fn note(&mut self, resource: &AnyResource) {
        if let Sight::Some { known, size, .. } = &mut self.sight {
            let place = place(resource);
            let more = size_of_place(&place);
            if known.insert(place) {
                *size += more;
            }
        }
    }

    /// The watcher may not know this resource any more; whether it did.
    pub(super) fn forget(&mut self, resource: &AnyResource) -> bool {
        resource.kind() == self.kind && self.sight.remove(place(resource)).unwrap_or_default()
    }

    /// Whether the caller may watch this kind at all.
    pub(super) fn permit(&self, auth: &Auth, caller: &Caller) -> Result<(), Error> {
        let verb = self.verb();
        let asked = Asked { operation: Operation::Watch, kind: self.kind, verb, name: &self.name };
        if self.is_for_everybody() {
            return auth.require_undenied(caller, &asked, &RuleContext::NONE);
        }
        auth.require_kind(caller, Operation::Watch, self.kind, &[verb])
    }

    fn verb(&self) -> Verb {
        match self.kind {
            Kind::CertAuthority if !self.with_secrets => Verb::ReadNoSecrets,
            // Its secrets are never told.
            Kind::User => Verb::ReadNoSecrets,
            _ => Verb::Read,
        }
    }

    /// What every identity may read, unless it asks for more.
    fn is_for_everybody(&self) -> bool {
        match self.kind {
            Kind::CertAuthority => !self.with_secrets,
            Kind::AuthPreference | Kind::ClusterName | Kind::App | Kind::AppServer => true,
            _ => false,
        }
    }

    /// Whether a resource that was stored is told.
    pub(super) fn wants(&self, caller: &Caller, resource: &AnyResource) -> bool {
        let name = &resource.metadata().name;
        if resource.kind() != self.kind
            || !(self.name.is_empty() || self.name == *name)
            || !(self.sub_kind.is_empty() || self.sub_kind == resource.sub_kind())
        {
            return false;
        }
        let passes = match resource {
            AnyResource::CertAuthority(authority) => self.passes_authority(authority),
            AnyResource::Lock(lock) => self.passes_lock(lock),
            _ => true,
        };
        passes && self.is_readable(caller, resource)
    }

    /// Whether a resource that is gone is told: only to those who may have known of it. Filters are about what a resource
    /// says, and that is gone with it.
    pub(super) fn wants_deleted(&mut self, kind: Kind, group: &str, name: &str) -> bool {
        if self.kind != kind {
            return false;
        }
        if let Some(is_known) = self.sight.remove((group.to_owned(), name.to_owned())) {
            return is_known;
        }
        let is_authority = kind == Kind::CertAuthority;
        let sub_kind = if is_authority { group } else { "" };
        (!is_authority || self.knows(sub_kind))
            && (self.name.is_empty() || self.name == name)
            && (self.sub_kind.is_empty() || self.sub_kind == sub_kind)
    }

    fn is_readable(&self, caller: &Caller, resource: &AnyResource) -> bool {
        match resource {
            AnyResource::App(app) => is_reachable(caller, app),
            AnyResource::AppServer(server) => server.spec.app.as_ref().is_some_and(|app| is_reachable(caller, app)),
            _ if self.is_for_everybody() => true,
            _ => {
                let metadata = resource.metadata();
                let named = Named { name: &metadata.name, labels: &metadata.labels };
                let context = RuleContext { resource: Some(named), ..RuleContext::NONE };
                caller.access().check_rule(&context, self.kind, self.verb()).allowed
            }
        }
    }

    /// Whether the watcher knows an authority's type: an older one closes on a type that it did not name.
    fn knows(&self, ca_type: &str) -> bool {
        self.filter.contains_key(ca_type) || CaType::parse(ca_type).is_some_and(CaType::is_known_to_old_clients)
    }

    fn passes_authority(&self, authority: &CertAuthority) -> bool {
        let ca_type = authority.ca_type().as_str();
        match self.filter.get(ca_type) {
            Some(cluster) => cluster == "*" || *cluster == authority.spec.cluster_name,
            None => self.filter.is_empty() && self.knows(ca_type),
        }
    }

    /// A lock passes when one of its target's fields is one that was asked for.
    fn passes_lock(&self, lock: &Lock) -> bool {
        self.filter.is_empty()
            || lock
                .spec
                .target
                .fields()
                .any(|(field, value)| self.filter.get(field).is_some_and(|wanted| wanted == value))
    }

    /// The resource as the watcher may see it: private keys of authorities never leave by a watch.
    pub(super) fn shown(&self, resource: Arc<AnyResource>) -> Arc<AnyResource> {
        match &*resource {
            AnyResource::CertAuthority(authority) => Arc::new(authority.clone().without_secrets().into()),
            AnyResource::User(user) if user.spec.local_auth.is_some() => {
                Arc::new(user.clone().without_secrets().into())
            }
            _ => resource,
        }
    }
}

fn size_of_place((group, name): &(String, String)) -> usize {
    group.len() + name.len() + ENTRY
}

fn place(resource: &AnyResource) -> (String, String) {
    (group_of(resource).to_owned(), resource.metadata().name.clone())
}

/// The kinds for which the wire has an event.
const fn can_be_watched(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Role
            | Kind::User
            | Kind::Token
            | Kind::BotInstance
            | Kind::Lock
            | Kind::CertAuthority
            | Kind::ClusterName
            | Kind::AuthPreference
            | Kind::NetworkingConfig
            | Kind::SessionRecordingConfig
            | Kind::AuditConfig
            | Kind::App
            | Kind::AppServer
    )
}
