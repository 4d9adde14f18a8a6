//! Finds an application among those that the caller's roles let it see, and ends sessions with it.

use api::{
    convert::Wire,
    r#gen::proto::{DeleteAppSessionRequest, ListResourcesRequest, PingRequest, RouteToApp, paginated_resource},
    methods::proto::auth_service::{DeleteAppSession, ListResources, Ping},
};
use client::{Client, Web, credentials::system_authorities};
use crypto::{tls, x509::Certificate};
use domain::{
    Error, Resource,
    error::Kind,
    resources::{App, AppServer},
};

/// How many servers one page holds.
const PAGE: i32 = 500;

/// The application `name`.
///
/// # Errors
/// Not found, with what may be the reason, when there is none or the roles do not show it.
pub async fn find(client: &Client, name: &str) -> Result<App, Error> {
    // The name stands in an expression, so it must be one.
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(Error::invalid(format!("{name:?} is no name of an application")));
    }
    let found = list(client, &format!("name == \"{name}\"")).await?;
    found.into_iter().find(|app| app.name() == name).ok_or_else(|| {
        Error::not_found(format!(
            "application {name:?} not found: either no agent announces it now (tctl apps ls), or no role that is asked \
             for has app_labels that fit it"
        ))
    })
}

/// All applications that fit an expression, one entry a name, in order.
///
/// # Errors
/// What the server answers.
pub async fn list(client: &Client, expression: &str) -> Result<Vec<App>, Error> {
    let mut found: Vec<App> = Vec::new();
    let mut start_key = String::new();
    loop {
        let request = ListResourcesRequest {
            resource_type: AppServer::KIND.as_str().to_owned(),
            limit: PAGE,
            start_key,
            predicate_expression: expression.to_owned(),
            ..ListResourcesRequest::default()
        };
        let page = client.repeat::<ListResources>(request).await?;
        for item in page.resources {
            if let Some(paginated_resource::Resource::AppServer(server)) = item.resource {
                found.extend(AppServer::from_wire(server)?.spec.app);
            }
        }
        start_key = page.next_key;
        if start_key.is_empty() {
            break;
        }
    }
    found.sort_by(|one, other| one.name().cmp(other.name()));
    found.dedup_by(|one, other| one.name() == other.name());
    Ok(found)
}

/// The proxy's address as the cluster tells it to those who have none; nothing when it tells none.
///
/// # Errors
/// What the server answers.
pub async fn proxy_address(client: &Client) -> Result<Option<String>, Error> {
    let address = client.repeat::<Ping>(PingRequest {}).await?.proxy_public_addr;
    Ok((!address.is_empty()).then(|| Web::address_of(&address)))
}

/// Ends the session that a certificate leads into; one that has ended already is good, too.
///
/// # Errors
/// What the server answers.
pub async fn end(client: &Client, session_id: String) -> Result<(), Error> {
    match client.repeat::<DeleteAppSession>(DeleteAppSessionRequest { session_id }).await {
        Err(error) if error.kind == Kind::NotFound => Ok(()),
        other => other.map(|_| ()),
    }
}

/// The host below which applications are named: what the proxy calls itself, which may be dialled by another name; else
/// what the auth service says; else as it is dialled. `authorities` are the cluster's; this system's count, too.
pub async fn public_host(web: &Web, authorities: &[Certificate], client: &Client) -> String {
    let mut roots = system_authorities();
    roots.extend(authorities.iter().cloned());
    let said = match web.find(tls::Trust::Roots(roots)).await {
        Ok(found) => found.public_address,
        Err(error) => {
            tracing::debug!(%error, "the proxy does not say how it is called");
            proxy_address(client).await.unwrap_or_default()
        }
    };
    let host = said.as_deref().map(|address| address.rsplit_once(':').map_or(address, |(host, _)| host));
    host.unwrap_or_else(|| web.host()).to_owned()
}

/// The name that an application is reached by: its own address, or its name below the proxy's.
pub fn public_name(app: &App, proxy_host: &str) -> String {
    match app.spec.public_addr.rsplit_once(':') {
        Some((host, _)) => host.to_owned(),
        None if !app.spec.public_addr.is_empty() => app.spec.public_addr.clone(),
        None => format!("{}.{proxy_host}", app.name()),
    }
}

/// What a request for a certificate says about the application that it is to lead to.
pub fn route(app: &App, public_name: &str, cluster: &str) -> RouteToApp {
    RouteToApp {
        name: app.name().to_owned(),
        public_addr: public_name.to_owned(),
        cluster_name: cluster.to_owned(),
        uri: app.spec.uri.clone(),
        ..RouteToApp::default()
    }
}

/// Whether the application speaks no HTTP.
pub fn is_tcp(app: &App) -> bool {
    app.spec.uri.starts_with("tcp://")
}
