//! TCP applications: after the handshake the client's bytes go to the agent and back.

use std::{io, sync::Arc};

use net::BoxIo;

use super::{
    agents::{NoWay, Purpose, candidates, connect},
    credential::{Credential, Shown},
    send::{LOOK_AGAIN, WAIT_FOR_AGENT},
    upgrade::carry_while_live,
};
use crate::{Proxy, ends::Ends};

/// Serves one connection to its end. Which application it is for says the certificate: the name that was dialled may be
/// that of a local listener.
pub(crate) async fn serve(proxy: &Arc<Proxy>, shown: Option<Shown>, client: BoxIo, ends: Ends) -> io::Result<()> {
    let denied = |error| io::Error::new(io::ErrorKind::PermissionDenied, error);
    let shown = shown.ok_or_else(|| denied(super::credential::Refused::NoCertificate))?;
    let app = shown.app();
    let live = shown.session(proxy, app).await.map_err(denied)?;
    let until = proxy.ports.clock.monotonic() + WAIT_FOR_AGENT;
    loop {
        let mut last = NoWay::NoAgent;
        for server in candidates(proxy, app) {
            match Box::pin(connect(proxy, &live, &server, Purpose::Tcp, ends.client)).await {
                Ok(agent) => {
                    let app = app.to_owned();
                    carry_while_live(proxy, &Credential::Certificate(Arc::new(shown)), &app, client, agent.io).await;
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        if !last.may_pass() || proxy.ports.clock.monotonic() >= until {
            return Err(io::Error::new(io::ErrorKind::NotConnected, last));
        }
        proxy.ports.clock.sleep(LOOK_AGAIN).await;
    }
}
