//! Connections and keep-alives.

use domain::Error;
use domain::resources::networking_config::{
    NetworkingConfig, NetworkingConfigSpec, ProxyListenerMode, RoutingStrategy, TunnelStrategy,
};

use super::wire::{Wire, message, numbers, resource};
use crate::r#gen::types::{self, tunnel_strategy_v1::Strategy};

message! {
    NetworkingConfigSpec => types::ClusterNetworkingConfigSpecV2 {
        client_idle_timeout, keep_alive_interval, keep_alive_count_max, session_control_timeout,
        idle_timeout_message = client_idle_timeout_message, web_idle_timeout, proxy_listener_mode,
        routing_strategy, tunnel_strategy, proxy_ping_interval, assist_command_execution_workers,
        case_insensitive_routing, ssh_dial_timeout
    }
}

numbers!(ProxyListenerMode, RoutingStrategy);
resource!(NetworkingConfig => types::ClusterNetworkingConfigV2);

impl Wire<types::TunnelStrategyV1> for TunnelStrategy {
    fn to_wire(&self) -> types::TunnelStrategyV1 {
        let strategy = match *self {
            Self::AgentMesh => Strategy::AgentMesh(types::AgentMeshTunnelStrategy {}),
            Self::ProxyPeering { agent_connection_count } => {
                Strategy::ProxyPeering(types::ProxyPeeringTunnelStrategy { agent_connection_count })
            }
        };
        types::TunnelStrategyV1 { strategy: Some(strategy) }
    }

    fn from_wire(wire: types::TunnelStrategyV1) -> Result<Self, Error> {
        Ok(match wire.strategy {
            None | Some(Strategy::AgentMesh(_)) => Self::AgentMesh,
            Some(Strategy::ProxyPeering(peering)) => {
                Self::ProxyPeering { agent_connection_count: peering.agent_connection_count.max(1) }
            }
        })
    }
}
