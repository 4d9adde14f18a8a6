//! Bots.

use api::{
    convert::bot::{from_wire, to_wire},
    r#gen::teleport::machineid::v1::{Bot as Message, ListBotsResponse},
    methods::teleport::machineid::v1::bot_service::{CreateBot, DeleteBot, GetBot, ListBots, UpdateBot, UpsertBot},
};
use auth::{Operation, bots};
use domain::{Error, resources::Bot};
use store::ListRequest;

use super::wire::{needed, page_size};
use crate::dispatch::{Row, Who, unary};

pub(crate) fn rows() -> Vec<Row> {
    let who = Who::Authenticated;
    vec![
        unary::<GetBot, _, _>(who, Operation::ReadBots, |context, request| async move {
            bots::get(&context.auth, &context.caller, &request.bot_name).await.map(|bot| to_wire(&bot))
        }),
        unary::<ListBots, _, _>(who, Operation::ReadBots, |context, request| async move {
            let list = ListRequest::page(page_size(request.page_size)?, &request.page_token);
            let page = bots::list(&context.auth, &context.caller, list).await?;
            let bots = page.items.iter().map(to_wire).collect();
            Ok(ListBotsResponse { bots, next_page_token: page.next_page_token })
        }),
        unary::<CreateBot, _, _>(who, Operation::CreateBot, |context, request| async move {
            bots::create(&context.auth, &context.caller, read(request.bot)?).await.map(|bot| to_wire(&bot))
        }),
        unary::<UpdateBot, _, _>(who, Operation::UpdateBot, |context, request| async move {
            let paths = needed("update_mask", request.update_mask)?.paths;
            let fields = paths.iter().map(|path| field(path)).collect::<Result<Vec<_>, _>>()?;
            bots::update(&context.auth, &context.caller, &read(request.bot)?, &fields).await.map(|bot| to_wire(&bot))
        }),
        unary::<UpsertBot, _, _>(who, Operation::UpsertBot, |context, request| async move {
            bots::upsert(&context.auth, &context.caller, read(request.bot)?).await.map(|bot| to_wire(&bot))
        }),
        unary::<DeleteBot, _, _>(who, Operation::DeleteBot, |context, request| async move {
            bots::delete(&context.auth, &context.caller, &request.bot_name).await
        }),
    ]
}

fn read(bot: Option<Message>) -> Result<Bot, Error> {
    from_wire(needed("bot", bot)?)
}

fn field(path: &str) -> Result<bots::Field, Error> {
    bots::Field::parse(path).ok_or_else(|| {
        let known: Vec<&str> = bots::Field::ALL.iter().map(|(name, _)| *name).collect();
        Error::invalid(format!("update_mask: {path:?} cannot be changed; what can: {}", known.join(", ")))
    })
}
