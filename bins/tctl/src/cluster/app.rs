//! Applications and the servers that announce them.

use std::collections::BTreeMap;

use api::{
    convert::Wire,
    r#gen::{
        proto::{DeleteApplicationServerRequest, ListResourcesRequest, paginated_resource},
        types::ResourceRequest,
    },
    methods::proto::auth_service as rpc,
};
use client::Client;
use domain::{
    Error, Resource,
    error::Kind as ErrorKind,
    resources::{App, AppServer},
};

use super::Remote;

/// How many servers one page holds.
const PAGE: i32 = 500;

impl Remote for App {
    async fn fetch(client: &Client, name: &str) -> Result<Self, Error> {
        Self::from_wire(client.call::<rpc::GetApp>(ResourceRequest { name: name.to_owned() }).await?)
    }

    async fn list(client: &Client, _: bool) -> Result<Vec<Self>, Error> {
        client.call::<rpc::GetApps>(()).await?.apps.into_iter().map(Self::from_wire).collect()
    }

    async fn create(client: &Client, app: Self) -> Result<(), Error> {
        client.call::<rpc::CreateApp>(app.to_wire()).await
    }

    async fn update(client: &Client, app: Self) -> Result<(), Error> {
        client.call::<rpc::UpdateApp>(app.to_wire()).await
    }

    /// The API has no call for this; an app that vanishes between the two is reported.
    async fn upsert(client: &Client, mut app: Self) -> Result<(), Error> {
        match Self::create(client, app.clone()).await {
            Err(error) if error.kind == ErrorKind::AlreadyExists => {
                app.metadata.revision = Self::fetch(client, app.name()).await?.metadata.revision;
                Self::update(client, app).await
            }
            outcome => outcome,
        }
    }

    async fn delete(client: &Client, name: &str) -> Result<(), Error> {
        client.call::<rpc::DeleteApp>(ResourceRequest { name: name.to_owned() }).await
    }
}

impl Remote for AppServer {
    async fn fetch(client: &Client, name: &str) -> Result<Self, Error> {
        let found = Self::list(client, false).await?.into_iter().find(|server| server.name() == name);
        found.ok_or_else(|| Error::not_found(format!("app_server \"{name}\" not found")))
    }

    async fn list(client: &Client, _: bool) -> Result<Vec<Self>, Error> {
        app_servers(client, &BTreeMap::new(), &[], "").await
    }

    async fn delete(client: &Client, name: &str) -> Result<(), Error> {
        let host_id = Self::fetch(client, name).await?.spec.host_id;
        let request =
            DeleteApplicationServerRequest { namespace: "default".to_owned(), host_id, name: name.to_owned() };
        client.call::<rpc::DeleteApplicationServer>(request).await
    }
}

/// The servers of applications that have these labels, show these words and fit this expression.
pub(crate) async fn app_servers(
    client: &Client,
    labels: &BTreeMap<String, String>,
    words: &[String],
    expression: &str,
) -> Result<Vec<AppServer>, Error> {
    let mut found = Vec::new();
    let mut start_key = String::new();
    loop {
        let request = ListResourcesRequest {
            resource_type: AppServer::KIND.as_str().to_owned(),
            limit: PAGE,
            start_key,
            labels: labels.clone().into_iter().collect(),
            search_keywords: words.to_vec(),
            predicate_expression: expression.to_owned(),
            ..Default::default()
        };
        let page = client.call::<rpc::ListResources>(request).await?;
        for item in page.resources {
            if let Some(paginated_resource::Resource::AppServer(server)) = item.resource {
                found.push(AppServer::from_wire(server)?);
            }
        }
        start_key = page.next_key;
        if start_key.is_empty() {
            return Ok(found);
        }
    }
}
