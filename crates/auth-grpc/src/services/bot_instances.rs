//! Bot instances.

use api::{
    convert::{Wire as _, bot_instance::to_wire},
    r#gen::teleport::machineid::v1::{ListBotInstancesResponse, SubmitHeartbeatResponse},
    methods::teleport::machineid::v1::bot_instance_service::{
        DeleteBotInstance, GetBotInstance, ListBotInstances, ListBotInstancesV2, SubmitHeartbeat,
    },
};
use auth::{
    Operation,
    instances::{self, Filter, Sort, SortBy},
};
use domain::{
    Error,
    resources::{
        BotInstance,
        bot_instance::{Heartbeat, ServiceHealth},
    },
};
use store::Page;

use super::wire::{needed, page_size};
use crate::dispatch::{Context, Row, Who, unary};

pub(crate) fn rows() -> Vec<Row> {
    let who = Who::Authenticated;
    vec![
        unary::<GetBotInstance, _, _>(who, Operation::ReadBotInstances, |context, request| async move {
            let (bot, instance) = (request.bot_name, request.instance_id);
            instances::get(&context.auth, &context.caller, &bot, &instance).await.map(|instance| to_wire(&instance))
        }),
        unary::<ListBotInstances, _, _>(who, Operation::ReadBotInstances, |context, request| async move {
            let filter =
                Filter { bot_name: request.filter_bot_name, search: request.filter_search_term, query: String::new() };
            let order = request.sort.unwrap_or_default();
            let sort = sort(&order.field, order.is_desc)?;
            list(&context, request.page_size, &request.page_token, &filter, sort).await
        }),
        unary::<ListBotInstancesV2, _, _>(who, Operation::ReadBotInstances, |context, request| async move {
            let asked = request.filter.unwrap_or_default();
            let filter = Filter { bot_name: asked.bot_name, search: asked.search_term, query: asked.query };
            let sort = sort(&request.sort_field, request.sort_desc)?;
            list(&context, request.page_size, &request.page_token, &filter, sort).await
        }),
        unary::<DeleteBotInstance, _, _>(who, Operation::DeleteBotInstance, |context, request| async move {
            instances::delete(&context.auth, &context.caller, &request.bot_name, &request.instance_id).await
        }),
        unary::<SubmitHeartbeat, _, _>(who, Operation::SubmitHeartbeat, |context, request| async move {
            let heartbeat = Heartbeat::from_wire(needed("heartbeat", request.heartbeat)?)?;
            let services = Vec::<ServiceHealth>::from_wire(request.service_health)?;
            instances::heartbeat(&context.auth, &context.caller, heartbeat, services).await?;
            Ok(SubmitHeartbeatResponse {})
        }),
    ]
}

fn sort(field: &str, descending: bool) -> Result<Sort, Error> {
    let by = SortBy::parse(field).ok_or_else(|| {
        Error::invalid(format!(
            "sort: {field:?} is not a field to sort by; bot_name, active_at_latest, version_latest and host_name_latest are"
        ))
    })?;
    Ok(Sort { by, descending })
}

async fn list(
    context: &Context,
    size: i32,
    token: &str,
    filter: &Filter,
    sort: Sort,
) -> Result<ListBotInstancesResponse, Error> {
    let page: Page<BotInstance> =
        instances::list(&context.auth, &context.caller, page_size(size)?, token, filter, sort).await?;
    let bot_instances = page.items.iter().map(to_wire).collect();
    Ok(ListBotInstancesResponse { bot_instances, next_page_token: page.next_page_token })
}
