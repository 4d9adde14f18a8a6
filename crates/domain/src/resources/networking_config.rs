//! `cluster_networking_config` v2: time limits of connections, and how proxies are reached.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    Error,
    form::{duration, scalar},
    metadata,
    resources::resource,
};

resource!(
    /// Time limits of connections.
    NetworkingConfig(NetworkingConfig), "v2" of ["v2"], NetworkingConfigSpec
);

document! {
    /// Time limits of connections.
    pub struct NetworkingConfigSpec {
        #[serde(with = "duration::go")]
        +client_idle_timeout: Duration,
        #[serde(with = "duration::go")]
        +keep_alive_interval: Duration,
        +keep_alive_count_max: i64,
        #[serde(with = "duration::go")]
        +session_control_timeout: Duration,
        +idle_timeout_message: String,
        #[serde(with = "duration::go")]
        +web_idle_timeout: Duration,
        #[serde(serialize_with = "number")]
        proxy_listener_mode: ProxyListenerMode,
        #[serde(serialize_with = "number")]
        routing_strategy: RoutingStrategy,
        tunnel_strategy: Option<TunnelStrategy>,
        #[serde(with = "duration::go")]
        proxy_ping_interval: Duration,
        assist_command_execution_workers: i32,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        case_insensitive_routing: bool,
        #[serde(with = "duration::go")]
        ssh_dial_timeout: Duration,
    }
}

choice! {
    /// Whether a proxy has one port for everything. Written as a number.
    pub enum ProxyListenerMode {
        #[default]
        Separate = 0 "separate" also "Separate",
        Multiplex = 1 "multiplex" also "Multiplex",
    }
}

choice! {
    /// Which of several hosts of one name is taken. Written as a number.
    pub enum RoutingStrategy {
        #[default]
        UnambiguousMatch = 0 "unambiguous_match" also "UNAMBIGUOUS_MATCH",
        MostRecent = 1 "most_recent" also "MOST_RECENT",
    }
}

/// These words are read, but the official types write their numbers.
trait Numbered: Copy {
    fn wire(self) -> i32;
}

impl Numbered for ProxyListenerMode {
    fn wire(self) -> i32 {
        self.number()
    }
}

impl Numbered for RoutingStrategy {
    fn wire(self) -> i32 {
        self.number()
    }
}

fn number<T: Numbered, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i32(value.wire())
}

/// How agents reach proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelStrategy {
    /// Each agent to each proxy.
    AgentMesh,
    /// Each agent to some proxies, which reach each other.
    ProxyPeering {
        /// To how many.
        agent_connection_count: i64,
    },
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct TunnelStrategyForm {
    r#type: String,
    #[serde(skip_serializing_if = "crate::form::is_default")]
    agent_connection_count: i64,
}

impl Serialize for TunnelStrategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (r#type, agent_connection_count) = match *self {
            Self::AgentMesh => ("agent_mesh", 0),
            Self::ProxyPeering { agent_connection_count } => ("proxy_peering", agent_connection_count),
        };
        TunnelStrategyForm { r#type: r#type.to_owned(), agent_connection_count }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TunnelStrategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = TunnelStrategyForm::deserialize(deserializer)?;
        match form.r#type.as_str() {
            "agent_mesh" | "" => Ok(Self::AgentMesh),
            "proxy_peering" => Ok(Self::ProxyPeering { agent_connection_count: form.agent_connection_count.max(1) }),
            other => {
                Err(serde::de::Error::custom(format_args!("type must be agent_mesh or proxy_peering, found {other:?}")))
            }
        }
    }
}

impl NetworkingConfig {
    /// The configuration of a cluster that says nothing.
    #[must_use]
    pub fn standard() -> Self {
        let mut config = Self::default();
        config.metadata.labels.insert(metadata::ORIGIN.to_owned(), "defaults".to_owned());
        crate::Resource::set_defaults(&mut config);
        config
    }

    fn fill(&mut self) {
        if self.spec.keep_alive_interval.is_zero() {
            self.spec.keep_alive_interval = Duration::from_secs(300);
        }
        if self.spec.keep_alive_count_max == 0 {
            self.spec.keep_alive_count_max = 3;
        }
        self.spec.tunnel_strategy.get_or_insert(TunnelStrategy::AgentMesh);
        self.metadata.labels.entry(metadata::ORIGIN.to_owned()).or_insert_with(|| "dynamic".to_owned());
    }

    fn check(&self) -> Result<(), Error> {
        if self.spec.keep_alive_count_max < 0 {
            return Err(Error::invalid("spec.keep_alive_count_max: must not be negative"));
        }
        Ok(())
    }
}
