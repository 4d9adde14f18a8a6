//! What one kind of a watch lets through: by permission, by name, by the kind's own filter.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    AnyResource, Error, Kind,
    ca::CaType,
    resources::{CertAuthority, Lock},
};
use rbac::{Named, RuleContext, Verb};

use crate::{Auth, Caller, Operation, apps::is_reachable, decide::Asked};

/// One kind that a watcher asks for.
#[derive(Debug, Clone, Default)]
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

/// What is watched of one kind.
#[derive(Debug)]
pub(super) struct Selector {
    pub(super) kind: Kind,
    with_secrets: bool,
    name: String,
    sub_kind: String,
    filter: BTreeMap<String, String>,
}

impl Selector {
    pub(super) fn new(auth: &Auth, caller: &Caller, wanted: &WatchKind) -> Result<Self, Error> {
        let kind = Kind::parse(&wanted.kind)
            .ok_or_else(|| Error::invalid(format!("kinds: {:?} is no kind of resource", wanted.kind)))?;
        if !can_be_watched(kind) {
            return Err(Error::unsupported(format!("watching kind {kind} is not supported yet")));
        }
        let selector = Self {
            kind,
            with_secrets: wanted.with_secrets,
            name: wanted.name.clone(),
            sub_kind: wanted.sub_kind.clone(),
            filter: wanted.filter.clone(),
        };
        selector.permit(auth, caller).map(|()| selector)
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

    /// Whether a resource that is gone is told. Filters are about what a resource says, and that is gone with it.
    pub(super) fn wants_deleted(&self, kind: Kind, sub_kind: &str, name: &str) -> bool {
        let is_known = kind != Kind::CertAuthority || self.knows(sub_kind);
        self.kind == kind
            && is_known
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
