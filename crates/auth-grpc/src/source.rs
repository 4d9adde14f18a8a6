//! Where a client is that comes through a proxy: the proxy's signed word, and nobody else's.

use std::{net::IpAddr, sync::Arc};

use auth::{Auth, Presented};
use domain::role::SystemRole;
use net::{Sources, proxy_protocol::Header};
use tunnel::source::Statement;

/// Believes proxies of this cluster whose certificate is good now and who are not locked. Everybody else could choose the
/// address that is audited, limited and pinned.
pub(crate) struct Proxies(pub(crate) Arc<Auth>);

impl Sources for Proxies {
    fn counted(&self, header: &Header) -> Option<IpAddr> {
        let counted = self.check(header);
        if let Err(why) = &counted {
            tracing::debug!(source = %header.source, why, "a word about a client's address is not believed");
        }
        counted.ok()
    }
}

impl Proxies {
    fn check(&self, header: &Header) -> Result<IpAddr, String> {
        let auth = &self.0;
        let authorities = auth.host_certificates().map_err(|error| error.to_string())?;
        let read = Statement::verify(header, auth.cluster(), &authorities, auth.clock().now());
        let (statement, certificate) = read.map_err(|error| error.to_string())?;
        let who = Presented::Certificate(Arc::new(certificate));
        let caller = auth.authenticate(&who, "local").map_err(|error| error.to_string())?;
        match caller.system_role() {
            Some(SystemRole::Proxy) => Ok(statement.counted),
            _ => Err(format!("{} is no proxy", caller.name())),
        }
    }
}
