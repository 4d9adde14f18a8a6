//! The roles of hosts and of the cluster itself: what a certificate with a system role may do.
//!
//! They are no resources: nobody can see, change or be given them. Each gets what its part of the product needs and
//! nothing that another part does; agents read no secrets of anybody.

use std::sync::{Arc, LazyLock};

use domain::{
    Kind,
    form::Labels,
    metadata::RESOURCE_TYPE,
    resources::role::{Role, Rule},
    role::SystemRole,
};

use crate::{
    family::Family,
    role_set::{CompiledRole, RoleSet},
    verb::Verb::{self, Create, Delete, List, Read, ReadNoSecrets, Update},
};

const LOOK: &[Verb] = &[List, ReadNoSecrets];
const LOOK_AND_READ: &[Verb] = &[List, Read, ReadNoSecrets];
const KEEP: &[Verb] = &[List, Create, Read, ReadNoSecrets, Update, Delete];
const REPORT: &[Verb] = &[Create];

type Rules = &'static [(&'static [Kind], &'static [Verb])];

/// What every host needs: whom to trust, how the cluster is set up, who is locked out, where the proxies are.
const HOST: Rules = &[
    (&[Kind::CertAuthority], LOOK),
    (
        &[
            Kind::ClusterName,
            Kind::AuthPreference,
            Kind::NetworkingConfig,
            Kind::SessionRecordingConfig,
            Kind::AuditConfig,
            Kind::Lock,
            Kind::Proxy,
            Kind::AuthServer,
            Kind::Namespace,
        ],
        LOOK_AND_READ,
    ),
    (&[Kind::Event], REPORT),
];

/// What a host needs that decides on access by itself.
const DECIDES: Rules = &[(&[Kind::Role], LOOK_AND_READ), (&[Kind::User], LOOK), (&[Kind::SessionTracker], KEEP)];

const NODE: Rules = &[(&[Kind::Node, Kind::ReverseTunnel], KEEP), (&[Kind::Session], &[Create, Update, ReadNoSecrets])];
const APP: Rules = &[
    (&[Kind::AppServer, Kind::ReverseTunnel], KEEP),
    (&[Kind::App], LOOK_AND_READ),
    // By id only: an agent asks whether a session lives, it cannot find out which there are.
    (&[Kind::WebSession], &[ReadNoSecrets]),
];
const DATABASE: Rules =
    &[(&[Kind::DatabaseServer, Kind::DatabaseService, Kind::ReverseTunnel], KEEP), (&[Kind::Database], LOOK_AND_READ)];
const KUBE: Rules = &[(&[Kind::KubeServer, Kind::ReverseTunnel], KEEP), (&[Kind::KubeCluster], LOOK_AND_READ)];
const DESKTOP: Rules = &[(&[Kind::WindowsDesktop, Kind::WindowsDesktopService, Kind::ReverseTunnel], KEEP)];
const DISCOVERY: Rules = &[
    (&[Kind::Database, Kind::KubeCluster, Kind::App, Kind::Installer], KEEP),
    (&[Kind::Node, Kind::DiscoveryConfig, Kind::Integration], LOOK_AND_READ),
];

/// The proxy finds its way to everything, and asks before it forwards; what it may do for a user it does with what the user brought.
const PROXY: Rules = &[
    (&[Kind::Proxy, Kind::ReverseTunnel], KEEP),
    (
        &[
            Kind::Node,
            Kind::App,
            Kind::AppServer,
            Kind::Database,
            Kind::DatabaseServer,
            Kind::DatabaseService,
            Kind::KubeCluster,
            Kind::KubeServer,
            Kind::WindowsDesktop,
            Kind::WindowsDesktopService,
            Kind::TrustedCluster,
            Kind::RemoteCluster,
            Kind::UiConfig,
            Kind::Session,
            Kind::SpiffeFederation,
        ],
        LOOK_AND_READ,
    ),
    (&[Kind::AuthConnector], LOOK),
    // By id only, with the session key, which it needs to speak for a browser; it can neither list nor make sessions.
    (&[Kind::WebSession], &[Read, ReadNoSecrets]),
];

/// A host before its services have their own certificates: it reports what it runs.
const INSTANCE: Rules = &[(&[Kind::Instance], &[Create, Update, ReadNoSecrets])];

const fn rules(role: SystemRole) -> Option<&'static [Rules]> {
    Some(match role {
        SystemRole::Node => &[HOST, DECIDES, NODE],
        SystemRole::App => &[HOST, DECIDES, APP],
        SystemRole::Db => &[HOST, DECIDES, DATABASE],
        SystemRole::Kube => &[HOST, DECIDES, KUBE],
        SystemRole::WindowsDesktop => &[HOST, DECIDES, DESKTOP],
        SystemRole::Proxy => &[HOST, DECIDES, PROXY],
        SystemRole::Discovery => &[HOST, DISCOVERY],
        SystemRole::Instance => &[HOST, INSTANCE],
        // A bot acts as its user, whose role says what it may do; the others have no part that is built.
        SystemRole::Bot
        | SystemRole::ProvisionToken
        | SystemRole::TrustedCluster
        | SystemRole::Signup
        | SystemRole::Nop
        | SystemRole::RemoteProxy
        | SystemRole::Okta
        | SystemRole::Mdm
        | SystemRole::AccessGraphPlugin => &[],
        SystemRole::Auth | SystemRole::Admin => return None,
    })
}

/// The role behind a system role.
#[must_use]
pub fn role(system_role: SystemRole) -> Role {
    let mut role = Role::default();
    role.metadata.name = format!("system:{system_role}");
    role.metadata.labels.insert(RESOURCE_TYPE.to_owned(), "system".to_owned());
    let allow = &mut role.spec.allow;
    match rules(system_role) {
        Some(groups) => {
            for (kinds, verbs) in groups.iter().copied().flatten() {
                allow
                    .rules
                    .push(Rule::new(kinds.iter().map(|kind| kind.as_str()), verbs.iter().map(|verb| verb.as_str())));
            }
        }
        // The cluster itself: everything. Only the auth service has such a certificate, or whoever sits on its host.
        None => {
            allow.rules.push(Rule::new(["*"], ["*"]));
            everything(allow);
        }
    }
    role
}

fn everything(allow: &mut domain::resources::role::RoleConditions) {
    for labels in [
        &mut allow.node_labels,
        &mut allow.app_labels,
        &mut allow.db_labels,
        &mut allow.db_service_labels,
        &mut allow.kubernetes_labels,
        &mut allow.cluster_labels,
        &mut allow.windows_desktop_labels,
        &mut allow.group_labels,
        &mut allow.workload_identity_labels,
    ] {
        *labels = Labels::wildcard();
    }
    debug_assert_eq!(Family::ALL.len(), 9, "a new family needs its line above");
}

/// The roles behind a host's system roles, compiled once for the whole process.
pub fn role_set(system_roles: impl IntoIterator<Item = SystemRole>) -> RoleSet {
    static COMPILED: LazyLock<Vec<(SystemRole, Arc<CompiledRole>)>> = LazyLock::new(|| {
        SystemRole::ALL.iter().map(|name| (*name, Arc::new(CompiledRole::new(role(*name))))).collect()
    });
    let wanted: Vec<_> = system_roles.into_iter().collect();
    COMPILED.iter().filter(|(name, _)| wanted.contains(name)).map(|(_, compiled)| Arc::clone(compiled)).collect()
}
