//! Where a client is that comes through a proxy: the proxy's signed word, and nobody else's.

use std::sync::Arc;

use auth::{Auth, Presented};
use domain::role::SystemRole;
use net::{Sources, proxy_protocol::Header};
use tunnel::source::{self, Statement};

/// Believes proxies of this cluster whose certificate is good now and who are not locked. Everybody else could choose the
/// address that is audited, limited and pinned.
pub(crate) struct Proxies(pub(crate) Arc<Auth>);

impl Sources for Proxies {
    fn is_believed(&self, header: &Header) -> bool {
        match self.check(header) {
            Ok(()) => true,
            Err(why) => {
                tracing::debug!(source = %header.source, why, "a word about a client's address is not believed");
                false
            }
        }
    }
}

impl Proxies {
    fn check(&self, header: &Header) -> Result<(), String> {
        let auth = &self.0;
        let word = header.tlvs.iter().find(|tlv| tlv.kind == source::TLV).ok_or("it is not signed")?;
        let statement = Statement { source: header.source, destination: header.destination, cluster: auth.cluster() };
        let authorities = auth.host_certificates().map_err(|error| error.to_string())?;
        let certificate =
            statement.verify(&word.value, &authorities, auth.clock().now()).map_err(|error| error.to_string())?;
        let who = Presented::Certificate(Arc::new(certificate));
        let caller = auth.authenticate(&who, "local").map_err(|error| error.to_string())?;
        match caller.system_role() {
            Some(SystemRole::Proxy) => Ok(()),
            _ => Err(format!("{} is no proxy", caller.name())),
        }
    }
}
