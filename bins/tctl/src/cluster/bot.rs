//! Bots and their instances.

use api::{
    convert::Wire,
    r#gen::teleport::machineid::v1::{
        CreateBotRequest, DeleteBotInstanceRequest, DeleteBotRequest, GetBotInstanceRequest, GetBotRequest,
        ListBotInstancesV2Request, ListBotsRequest, UpdateBotRequest, UpsertBotRequest,
        list_bot_instances_v2_request::Filters,
    },
    methods::teleport::machineid::v1::{bot_instance_service as instances, bot_service as rpc},
};
use client::Client;
use domain::{
    Error,
    resources::{Bot, BotInstance},
};

use super::Remote;

/// What an update of a bot may change.
const MASK: [&str; 4] = ["spec.roles", "spec.traits", "spec.max_session_ttl", "metadata.description"];

impl Remote for Bot {
    async fn fetch(client: &Client, name: &str) -> Result<Self, Error> {
        Self::from_wire(client.call::<rpc::GetBot>(GetBotRequest { bot_name: name.to_owned() }).await?)
    }

    async fn list(client: &Client, _: bool) -> Result<Vec<Self>, Error> {
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let page = client.call::<rpc::ListBots>(ListBotsRequest { page_token, ..Default::default() }).await?;
            for bot in page.bots {
                found.push(Self::from_wire(bot)?);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn create(client: &Client, bot: Self) -> Result<(), Error> {
        client.call::<rpc::CreateBot>(CreateBotRequest { bot: Some(bot.to_wire()) }).await.map(drop)
    }

    async fn update(client: &Client, bot: Self) -> Result<(), Error> {
        let paths = MASK.iter().map(|path| (*path).to_owned()).collect();
        let request =
            UpdateBotRequest { bot: Some(bot.to_wire()), update_mask: Some(prost_types::FieldMask { paths }) };
        client.call::<rpc::UpdateBot>(request).await.map(drop)
    }

    async fn upsert(client: &Client, bot: Self) -> Result<(), Error> {
        client.call::<rpc::UpsertBot>(UpsertBotRequest { bot: Some(bot.to_wire()) }).await.map(drop)
    }

    async fn delete(client: &Client, name: &str) -> Result<(), Error> {
        client.call::<rpc::DeleteBot>(DeleteBotRequest { bot_name: name.to_owned() }).await
    }
}

/// Which instances, in which order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Instances {
    /// Of this bot; of all when empty.
    pub(crate) bot: String,
    pub(crate) search: String,
    pub(crate) query: String,
    pub(crate) order: Order,
}

/// By what a list is ordered; no field is the order of storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) field: String,
    pub(crate) descending: bool,
}

/// Instances of bots.
pub(crate) async fn bot_instances(client: &Client, wanted: Instances) -> Result<Vec<BotInstance>, Error> {
    let filter = Filters { bot_name: wanted.bot, search_term: wanted.search, query: wanted.query };
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListBotInstancesV2Request {
            page_token,
            sort_field: wanted.order.field.clone(),
            sort_desc: wanted.order.descending,
            filter: Some(filter.clone()),
            ..Default::default()
        };
        let page = client.call::<instances::ListBotInstancesV2>(request).await?;
        for instance in page.bot_instances {
            found.push(BotInstance::from_wire(instance)?);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}

/// One instance.
pub(crate) async fn bot_instance(client: &Client, bot: &str, id: &str) -> Result<BotInstance, Error> {
    let request = GetBotInstanceRequest { bot_name: bot.to_owned(), instance_id: id.to_owned() };
    BotInstance::from_wire(client.call::<instances::GetBotInstance>(request).await?)
}

/// `BOT/UUID`, the name of an instance.
fn split(name: &str) -> Result<(&str, &str), Error> {
    name.split_once('/').ok_or_else(|| Error::invalid(format!("write bot_instance/BOT/UUID, found \"{name}\"")))
}

impl Remote for BotInstance {
    async fn fetch(client: &Client, name: &str) -> Result<Self, Error> {
        let (bot, id) = split(name)?;
        bot_instance(client, bot, id).await
    }

    async fn list(client: &Client, _: bool) -> Result<Vec<Self>, Error> {
        bot_instances(client, Instances::default()).await
    }

    async fn delete(client: &Client, name: &str) -> Result<(), Error> {
        let (bot, id) = split(name)?;
        let request = DeleteBotInstanceRequest { bot_name: bot.to_owned(), instance_id: id.to_owned() };
        client.call::<instances::DeleteBotInstance>(request).await
    }
}
