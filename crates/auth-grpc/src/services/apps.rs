//! Applications and their servers.

use api::{
    convert::{
        app::{from_wire, to_wire},
        app_server, timestamp,
    },
    r#gen::{
        proto::{ListAppsResponse, ListResourcesRequest, ListResourcesResponse, PaginatedResource, paginated_resource},
        types::{AppV3List, KeepAlive, keep_alive::KeepAliveType},
    },
    methods::proto::auth_service::{
        CreateApp, DeleteAllApplicationServers, DeleteAllApps, DeleteApp, DeleteApplicationServer, GetApp, GetApps,
        ListApps, ListResources, SendKeepAlives, UpdateApp, UpsertApplicationServer,
    },
};
use auth::{
    Operation,
    apps::{
        create::create,
        delete::{delete, delete_all},
        list::list,
        query::Asked,
        read::read,
        servers,
        update::update,
    },
};
use domain::{Error, Kind};
use futures_util::stream;
use store::ListRequest;
use tonic::Status;

use crate::codec::Requests;
use crate::dispatch::{Answers, Context, Row, Who, both_streams, unary};

pub(crate) fn rows() -> Vec<Row> {
    [app_rows(), server_rows()].into_iter().flatten().collect()
}

fn app_rows() -> Vec<Row> {
    vec![
        unary::<GetApps, _, _>(Who::Authenticated, Operation::ReadApps, |context, ()| async move {
            let (mut apps, mut token) = (Vec::new(), String::new());
            loop {
                let page = list(&context.auth, &context.caller, ListRequest::page(0, &token)).await?;
                apps.extend(page.items.iter().map(to_wire));
                token = page.next_page_token;
                if token.is_empty() {
                    return Ok(AppV3List { apps });
                }
            }
        }),
        unary::<ListApps, _, _>(Who::Authenticated, Operation::ReadApps, |context, request| async move {
            let wanted = ListRequest::page(size(request.limit), &request.start_key);
            let page = list(&context.auth, &context.caller, wanted).await?;
            let applications = page.items.iter().map(to_wire).collect();
            Ok(ListAppsResponse { applications, next_key: page.next_page_token })
        }),
        unary::<GetApp, _, _>(Who::Authenticated, Operation::ReadApps, |context, request| async move {
            read(&context.auth, &context.caller, &request.name).await.map(|app| to_wire(&app))
        }),
        unary::<CreateApp, _, _>(Who::Authenticated, Operation::CreateApp, |context, app| async move {
            create(&context.auth, &context.caller, from_wire(app)?).await.map(drop)
        }),
        unary::<UpdateApp, _, _>(Who::Authenticated, Operation::UpdateApp, |context, app| async move {
            update(&context.auth, &context.caller, from_wire(app)?).await.map(drop)
        }),
        unary::<DeleteApp, _, _>(Who::Authenticated, Operation::DeleteApp, |context, request| async move {
            delete(&context.auth, &context.caller, &request.name).await
        }),
        unary::<DeleteAllApps, _, _>(Who::Authenticated, Operation::DeleteApp, |context, ()| async move {
            delete_all(&context.auth, &context.caller).await
        }),
    ]
}

fn server_rows() -> Vec<Row> {
    vec![
        unary::<ListResources, _, _>(Who::Authenticated, Operation::ReadAppServers, list_resources),
        unary::<UpsertApplicationServer, _, _>(
            Who::Authenticated,
            Operation::UpsertAppServer,
            |context, request| async move {
                let server = request.server.ok_or_else(|| Error::invalid("server: is needed"))?;
                let server = servers::upsert(&context.auth, &context.caller, app_server::from_wire(server)?).await?;
                Ok(KeepAlive {
                    name: server.metadata.name.clone(),
                    namespace: "default".to_owned(),
                    expires: server.metadata.expires.map(timestamp),
                    r#type: KeepAliveType::App.into(),
                    host_id: server.spec.host_id.clone(),
                })
            },
        ),
        unary::<DeleteApplicationServer, _, _>(
            Who::Authenticated,
            Operation::DeleteAppServer,
            |context, request| async move {
                servers::delete(&context.auth, &context.caller, &request.host_id, &request.name).await
            },
        ),
        unary::<DeleteAllApplicationServers, _, _>(
            Who::Authenticated,
            Operation::DeleteAppServer,
            |context, _| async move { servers::delete_all(&context.auth, &context.caller).await },
        ),
        // On the wire one answer and a stream of one answer are the same bytes.
        both_streams::<SendKeepAlives, _, _>(
            Who::Authenticated,
            Operation::UpsertAppServer,
            |context, alive| async move {
                let answers: Answers<()> = Box::pin(stream::once(keep_alives(context, alive)));
                Ok(answers)
            },
        ),
    ]
}

async fn list_resources(context: Context, request: ListResourcesRequest) -> Result<ListResourcesResponse, Error> {
    if !matches!(Kind::parse(&request.resource_type), Some(Kind::App | Kind::AppServer)) {
        return Err(match Kind::parse(&request.resource_type) {
            Some(kind) => Error::unsupported(format!("a list of kind {kind} is not supported yet")),
            None => Error::invalid(format!("resource_type: {:?} is no kind of resource", request.resource_type)),
        });
    }
    let sort = request.sort_by.unwrap_or_default();
    let wanted = Asked {
        labels: request.labels,
        keywords: request.search_keywords,
        expression: request.predicate_expression,
        sort_field: sort.field,
        is_descending: sort.is_desc,
    };
    let size = size(request.limit);
    let found =
        servers::list(&context.auth, &context.caller, size, &request.start_key, wanted, request.need_total_count)
            .await?;
    let carry = |server: &domain::resources::AppServer| PaginatedResource {
        resource: Some(paginated_resource::Resource::AppServer(app_server::to_wire(server))),
        ..Default::default()
    };
    Ok(ListResourcesResponse {
        resources: found.items.iter().map(carry).collect(),
        next_key: found.next_page_token,
        total_count: found.total.map_or(0, |total| i32::try_from(total).unwrap_or(i32::MAX)),
    })
}

/// Takes keep-alives until the agent is done; the first that fails ends it, and the agent announces itself anew.
async fn keep_alives(context: Context, mut alive: Requests<KeepAlive>) -> Result<(), Status> {
    let status = |error: Error| api::status::to_status(&error);
    loop {
        let message = tokio::select! {
            message = alive.message() => message?,
            end = context.peer.end_of_watches() => return Err(status(end)),
        };
        let Some(message) = message else { return Ok(()) };
        // Decided anew for each: this stream lives for days.
        let caller = context.peer.caller(&context.auth).map_err(status)?;
        if message.r#type != i32::from(KeepAliveType::App) {
            return Err(status(Error::unsupported("keep-alives for this kind of server are not supported yet")));
        }
        let expires = super::keys::time(message.expires.as_ref());
        servers::keep_alive(&context.auth, &caller, &message.host_id, &message.name, expires).await.map_err(status)?;
    }
}

fn size(limit: i32) -> usize {
    usize::try_from(limit).unwrap_or_default()
}
