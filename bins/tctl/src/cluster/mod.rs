//! The calls that commands make, in the terms of `domain`: one file for each noun.

mod access;
mod app;
mod audit;
mod authority;
mod bot;
mod certificates;
mod config;
mod inventory;
mod lock;
mod role;
mod status;
mod token;
mod user;
mod wire;

use client::Client;
use domain::{
    AnyResource, Error, Kind, Resource, Timestamp,
    resources::{
        App, AppServer, AuditConfig, AuthPreference, Bot, BotInstance, CertAuthority, Lock, NetworkingConfig, Role,
        SessionRecordingConfig, Token, User,
    },
};

pub(crate) use self::{
    access::{Question, Subject, explain},
    app::app_servers,
    audit::{Search, audit_events, audit_verify},
    authority::{authorities, authority, ca_pins, private_keys, revocation_lists},
    bot::{Instances, Order, bot_instance, bot_instances},
    certificates::{Issued, UserCertificates, sign_host, sign_user},
    inventory::{Instance, Inventory, inventory},
    status::{auth_address, notes, ping, proxy_address, suite},
    user::credentials_token,
};

/// What can be done with one kind of resource from afar. What a kind does not allow is refused by its defaults.
pub(crate) trait Remote: Resource {
    /// One resource by its name.
    async fn fetch(client: &Client, name: &str) -> Result<Self, Error> {
        let _ = (client, name);
        Err(refused::<Self>("read"))
    }

    /// All resources, page by page.
    async fn list(client: &Client, with_secrets: bool) -> Result<Vec<Self>, Error> {
        let _ = (client, with_secrets);
        Err(refused::<Self>("listed"))
    }

    /// Makes a new one.
    async fn create(client: &Client, resource: Self) -> Result<(), Error> {
        let _ = (client, resource);
        Err(refused::<Self>("created"))
    }

    /// Changes one that nobody else changed since it was read.
    async fn update(client: &Client, resource: Self) -> Result<(), Error> {
        Self::upsert(client, resource).await
    }

    /// Makes or replaces one.
    async fn upsert(client: &Client, resource: Self) -> Result<(), Error> {
        let _ = (client, resource);
        Err(refused::<Self>("replaced"))
    }

    /// Deletes one; a singleton goes back to its defaults.
    async fn delete(client: &Client, name: &str) -> Result<(), Error> {
        let _ = (client, name);
        Err(refused::<Self>("deleted"))
    }
}

fn refused<T: Resource>(verb: &str) -> Error {
    Error::unsupported(format!("a {} cannot be {verb} with tctl", T::KIND))
}

/// Runs an expression for the type that belongs to a kind.
macro_rules! for_kind {
    ($kind:expr, $type:ident => $then:expr) => {
        match $kind {
            Kind::Role => {
                type $type = Role;
                $then
            }
            Kind::User => {
                type $type = User;
                $then
            }
            Kind::Token => {
                type $type = Token;
                $then
            }
            Kind::Bot => {
                type $type = Bot;
                $then
            }
            Kind::BotInstance => {
                type $type = BotInstance;
                $then
            }
            Kind::Lock => {
                type $type = Lock;
                $then
            }
            Kind::CertAuthority => {
                type $type = CertAuthority;
                $then
            }
            Kind::AuthPreference => {
                type $type = AuthPreference;
                $then
            }
            Kind::NetworkingConfig => {
                type $type = NetworkingConfig;
                $then
            }
            Kind::SessionRecordingConfig => {
                type $type = SessionRecordingConfig;
                $then
            }
            Kind::AuditConfig => {
                type $type = AuditConfig;
                $then
            }
            Kind::App => {
                type $type = App;
                $then
            }
            Kind::AppServer => {
                type $type = AppServer;
                $then
            }
            other => Err(Error::unsupported(format!("resources of kind \"{other}\" are not supported yet"))),
        }
    };
}

/// Runs an expression with the resource that a document holds.
macro_rules! with_document {
    ($document:expr, $resource:ident => $then:expr) => {
        match $document {
            AnyResource::Role($resource) => $then,
            AnyResource::User($resource) => $then,
            AnyResource::Token($resource) => $then,
            AnyResource::Bot($resource) => $then,
            AnyResource::BotInstance($resource) => $then,
            AnyResource::Lock($resource) => $then,
            AnyResource::CertAuthority($resource) => $then,
            AnyResource::AuthPreference($resource) => $then,
            AnyResource::NetworkingConfig($resource) => $then,
            AnyResource::SessionRecordingConfig($resource) => $then,
            AnyResource::AuditConfig($resource) => $then,
            AnyResource::App($resource) => $then,
            AnyResource::AppServer($resource) => $then,
            other => Err(Error::unsupported(format!("a {} cannot be written with tctl", other.kind()))),
        }
    };
}

/// One resource, or all of its kind, as documents.
pub(crate) async fn get(
    client: &Client,
    kind: Kind,
    name: Option<&str>,
    with_secrets: bool,
) -> Result<Vec<AnyResource>, Error> {
    let name = name.or_else(|| kind.singleton_name());
    match (kind, name) {
        (Kind::CertAuthority, Some(name)) => {
            let found = authority::by_reference(client, name, with_secrets).await?;
            Ok(found.into_iter().map(AnyResource::from).collect())
        }
        (Kind::User, Some(name)) => Ok(vec![user::fetch(client, name, with_secrets).await?.into()]),
        (kind, Some(name)) => for_kind!(kind, T => Ok(vec![T::fetch(client, name).await?.into()])),
        (kind, None) => for_kind!(kind, T => {
            Ok(T::list(client, with_secrets).await?.into_iter().map(AnyResource::from).collect())
        }),
    }
}

/// Makes a new resource from a document.
pub(crate) async fn create(client: &Client, document: AnyResource) -> Result<(), Error> {
    with_document!(document, resource => { let mut resource = resource; check(&mut resource)?; Remote::create(client, resource).await })
}

/// Makes or replaces a resource.
pub(crate) async fn upsert(client: &Client, document: AnyResource) -> Result<(), Error> {
    with_document!(document, resource => { let mut resource = resource; check(&mut resource)?; Remote::upsert(client, resource).await })
}

/// Changes a resource that nobody else changed since it was read.
pub(crate) async fn update(client: &Client, document: AnyResource) -> Result<(), Error> {
    with_document!(document, resource => { let mut resource = resource; check(&mut resource)?; Remote::update(client, resource).await })
}

/// Deletes a resource, or resets a singleton.
pub(crate) async fn delete(client: &Client, kind: Kind, name: &str) -> Result<(), Error> {
    for_kind!(kind, T => T::delete(client, name).await)
}

/// Fills the defaults of a resource and checks it, so that a mistake is told without a server.
pub(crate) fn check(resource: &mut impl Resource) -> Result<(), Error> {
    resource.set_defaults();
    resource.validate()
}

/// A time as tables show it: to the second, UTC.
pub(crate) fn show_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time that may be missing.
pub(crate) fn show_optional(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), show_time)
}
