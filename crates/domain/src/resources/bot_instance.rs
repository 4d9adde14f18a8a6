//! `bot_instance` v1: one lineage of one bot's identities, kept by the server.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    Error,
    form::{Bytes, duration, scalar, time},
    names,
    resources::resource,
};

/// How many of the latest authentications and heartbeats an instance keeps.
pub const LATEST_RECORDS: usize = 10;

resource!(
    /// A bot instance.
    BotInstance(BotInstance), "v1" of ["v1"], BotInstanceSpec, status BotInstanceStatus
);

document! {
    /// Which instance of which bot.
    pub struct BotInstanceSpec {
        bot_name: String,
        instance_id: String,
        /// The instance that this one follows after a recovery.
        previous_instance_id: String,
    }
}

document! {
    /// What the instance did.
    pub struct BotInstanceStatus {
        initial_authentication: Option<Authentication>,
        latest_authentications: Vec<Authentication>,
        initial_heartbeat: Option<Heartbeat>,
        latest_heartbeats: Vec<Heartbeat>,
        service_health: Vec<ServiceHealth>,
    }
}

document! {
    /// One join or renewal.
    pub struct Authentication {
        #[serde(with = "time::option")]
        authenticated_at: Option<Timestamp>,
        join_method: String,
        /// Masked where the name of the token is a secret.
        join_token: String,
        metadata: Option<Map<String, Value>>,
        generation: i32,
        public_key: Bytes,
        join_attrs: Option<JoinAttrs>,
    }
}

document! {
    /// What a join proved.
    pub struct JoinAttrs {
        meta: Option<JoinAttrsMeta>,
        /// The attributes of each method, by its name.
        #[serde(flatten)]
        methods: Map<String, Value>,
    }
}

document! {
    /// How the join was made.
    pub struct JoinAttrsMeta {
        join_token_name: String,
        join_method: String,
    }
}

document! {
    /// What an instance says about itself.
    pub struct Heartbeat {
        #[serde(with = "time::option")]
        recorded_at: Option<Timestamp>,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        is_startup: bool,
        version: String,
        hostname: String,
        #[serde(with = "duration::seconds")]
        uptime: Option<Duration>,
        join_method: String,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        one_shot: bool,
        architecture: String,
        os: String,
        external_updater: String,
        external_updater_version: String,
        kind: BotKind,
    }
}

choice! {
    /// Which program embeds the bot.
    pub enum BotKind {
        #[default]
        Unspecified = 0 "BOT_KIND_UNSPECIFIED",
        Tbot = 1 "BOT_KIND_TBOT",
        TerraformProvider = 2 "BOT_KIND_TERRAFORM_PROVIDER",
        KubernetesOperator = 3 "BOT_KIND_KUBERNETES_OPERATOR",
        Tctl = 4 "BOT_KIND_TCTL",
    }
}

document! {
    /// How one service of the bot fares.
    pub struct ServiceHealth {
        service: Option<ServiceIdentifier>,
        status: HealthStatus,
        reason: Option<String>,
        #[serde(with = "time::option")]
        updated_at: Option<Timestamp>,
    }
}

document! {
    /// A service of the bot.
    pub struct ServiceIdentifier {
        #[serde(rename = "type")]
        service_type: String,
        name: String,
    }
}

choice! {
    /// Health of a service.
    pub enum HealthStatus {
        #[default]
        Unspecified = 0 "BOT_INSTANCE_HEALTH_STATUS_UNSPECIFIED",
        Initializing = 1 "BOT_INSTANCE_HEALTH_STATUS_INITIALIZING",
        Healthy = 2 "BOT_INSTANCE_HEALTH_STATUS_HEALTHY",
        Unhealthy = 3 "BOT_INSTANCE_HEALTH_STATUS_UNHEALTHY",
    }
}

impl BotInstanceStatus {
    /// Adds a join or renewal; the first one is kept for good, of the others the latest [`LATEST_RECORDS`].
    pub fn record_authentication(&mut self, authentication: Authentication) {
        if self.initial_authentication.is_none() {
            self.initial_authentication = Some(authentication.clone());
        }
        push_latest(&mut self.latest_authentications, authentication);
    }

    /// What the instance said last about itself.
    #[must_use]
    pub fn latest_heartbeat(&self) -> Option<&Heartbeat> {
        self.latest_heartbeats.last().or(self.initial_heartbeat.as_ref())
    }

    /// How it joined or renewed last.
    #[must_use]
    pub fn latest_authentication(&self) -> Option<&Authentication> {
        self.latest_authentications.last().or(self.initial_authentication.as_ref())
    }

    /// Adds a heartbeat, in the same way.
    pub fn record_heartbeat(&mut self, heartbeat: Heartbeat) {
        if self.initial_heartbeat.is_none() {
            self.initial_heartbeat = Some(heartbeat.clone());
        }
        push_latest(&mut self.latest_heartbeats, heartbeat);
    }
}

fn push_latest<T>(records: &mut Vec<T>, record: T) {
    records.push(record);
    let surplus = records.len().saturating_sub(LATEST_RECORDS);
    records.drain(..surplus);
}

impl BotInstance {
    fn fill(&mut self) {
        if self.metadata.name.is_empty() {
            self.metadata.name.clone_from(&self.spec.instance_id);
        }
    }

    fn check(&self) -> Result<(), Error> {
        names::UUID.check("spec.instance_id", &self.spec.instance_id)?;
        if self.spec.bot_name.is_empty() {
            return Err(Error::invalid("spec.bot_name: must not be empty"));
        }
        Ok(())
    }
}
