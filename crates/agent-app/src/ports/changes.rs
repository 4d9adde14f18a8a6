//! Feeds the view from the API: a watch first, then everything that there is, then what changes.

use std::time::Duration;

use api::{
    convert::{Wire, watch},
    r#gen::{proto, teleport::trust::v1::GetCertAuthoritiesRequest},
    methods::{
        proto::auth_service::{ListApps, ListLocks, ListRoles, Ping},
        teleport::{
            clusterconfig::v1::cluster_config_service::GetAuthPreference, trust::v1::trust_service::GetCertAuthorities,
        },
    },
};
use async_trait::async_trait;
use client::{Client, Watch, WatchKind};
use domain::{AnyResource, Error, Kind, ca::CaType};

use super::{Changes, grpc::Grpc};
use crate::View;

/// How often the server is asked whether it is there: what it sends comes over the same connection, so an answer says
/// that nothing sent before it was lost.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// How long it may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

const PAGE: i32 = 500;

#[async_trait]
impl Changes for Grpc {
    async fn follow(&self, view: &View, wants_apps: bool) -> Error {
        match self.follow_until_broken(view, wants_apps).await {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }
}

impl Grpc {
    async fn follow_until_broken(&self, view: &View, wants_apps: bool) -> Result<std::convert::Infallible, Error> {
        let client = self.host().client().await?;
        let clock = &self.host().config().clock;
        let mut changes = client.watch(kinds(wants_apps).map(|kind| WatchKind::all(kind.as_str())).collect()).await?;
        let as_of = clock.monotonic();
        view.replace(everything(&client, wants_apps).await?, as_of);
        loop {
            let asked = clock.monotonic();
            let answer = async {
                clock.sleep(ASK_EVERY).await;
                let ping = client.call::<Ping>(proto::PingRequest {});
                clock
                    .timeout(ANSWER_WITHIN, ping)
                    .await
                    .map_err(|_| Error::unavailable("the auth service is silent"))?
            };
            tokio::select! {
                answered = answer => {
                    answered?;
                    view.mark(asked);
                }
                // Ends with an error only; a busy cluster must not keep the question from being asked.
                broken = apply(&mut changes, view) => return Err(broken),
            }
        }
    }
}

/// What is followed. Applications of the configuration file need no word of the others, which may be many.
fn kinds(wants_apps: bool) -> impl Iterator<Item = Kind> {
    let always = [Kind::Role, Kind::User, Kind::Lock, Kind::CertAuthority, Kind::AuthPreference];
    always.into_iter().chain(wants_apps.then_some(Kind::App))
}

async fn apply(changes: &mut Watch, view: &View) -> Error {
    loop {
        match changes.next().await.and_then(watch::from_wire) {
            Ok(event) => view.apply(event),
            Err(error) => return error,
        }
    }
}

async fn everything(client: &Client, wants_apps: bool) -> Result<Vec<AnyResource>, Error> {
    let mut found = Vec::new();
    let mut key = String::new();
    loop {
        let request = proto::ListRolesRequest { limit: PAGE, start_key: key, filter: None };
        let page = client.repeat::<ListRoles>(request).await?;
        for role in page.roles {
            found.push(AnyResource::Role(Wire::from_wire(role)?));
        }
        key = page.next_key;
        if key.is_empty() {
            break;
        }
    }
    loop {
        let request = proto::ListLocksRequest { page_size: PAGE, page_token: key, filter: None };
        let page = client.repeat::<ListLocks>(request).await?;
        for lock in page.locks {
            found.push(AnyResource::Lock(Wire::from_wire(lock)?));
        }
        key = page.next_page_token;
        if key.is_empty() {
            break;
        }
    }
    if wants_apps {
        found.extend(apps(client).await?);
    }
    let request = GetCertAuthoritiesRequest { r#type: CaType::User.as_str().to_owned(), include_key: false };
    for authority in client.repeat::<GetCertAuthorities>(request).await?.cert_authorities_v2 {
        found.push(AnyResource::CertAuthority(Wire::from_wire(authority)?));
    }
    let preference = client.repeat::<GetAuthPreference>(Default::default()).await?;
    found.push(AnyResource::AuthPreference(Wire::from_wire(preference)?));
    Ok(found)
}

async fn apps(client: &Client) -> Result<Vec<AnyResource>, Error> {
    let mut found = Vec::new();
    let mut key = String::new();
    loop {
        let page = client.repeat::<ListApps>(proto::ListAppsRequest { limit: PAGE, start_key: key }).await?;
        for app in page.applications {
            found.push(AnyResource::App(Wire::from_wire(app)?));
        }
        key = page.next_key;
        if key.is_empty() {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_resources_are_followed_where_they_are_wanted() {
        assert!(kinds(true).any(|kind| kind == Kind::App));
        assert!(kinds(false).all(|kind| kind != Kind::App));
    }
}
