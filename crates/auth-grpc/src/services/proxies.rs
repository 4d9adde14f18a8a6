//! Which proxies there are.

use api::{
    convert::timestamp,
    r#gen::tessera::v1::{ListProxiesResponse, ProxyServer, UpsertProxyResponse},
    methods::tessera::v1::presence::{ListProxies, UpsertProxy},
};
use auth::{
    Operation,
    proxies::{self, Proxy},
};

use super::{keys::time, wire::needed};
use crate::dispatch::{Row, Who, unary};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        unary::<UpsertProxy, _, _>(Who::Authenticated, Operation::UpsertProxy, |context, request| async move {
            let proxy = from_wire(needed("proxy", request.proxy)?);
            let expires = proxies::upsert(&context.auth, &context.caller, proxy).await?;
            Ok(UpsertProxyResponse { expires: Some(timestamp(expires)) })
        }),
        unary::<ListProxies, _, _>(Who::Authenticated, Operation::ReadProxies, |context, _| async move {
            let found = proxies::list(&context.auth, &context.caller).await?;
            Ok(ListProxiesResponse { proxies: found.into_iter().map(to_wire).collect() })
        }),
    ]
}

fn from_wire(proxy: ProxyServer) -> Proxy {
    let ProxyServer { host_id, hostname, version, public_addrs, tunnel_addrs, peer_addr, notice, expires } = proxy;
    let expires = time(expires.as_ref());
    Proxy { host_id, hostname, version, public_addrs, tunnel_addrs, peer_addr, notice, expires }
}

fn to_wire(proxy: Proxy) -> ProxyServer {
    let Proxy { host_id, hostname, version, public_addrs, tunnel_addrs, peer_addr, notice, expires } = proxy;
    ProxyServer {
        host_id,
        hostname,
        version,
        public_addrs,
        tunnel_addrs,
        peer_addr,
        notice,
        expires: expires.map(timestamp),
    }
}
