//! What agents may announce: applications under their own names, at addresses that are nobody else's.

use auth::{Caller, apps::servers};
use domain::{
    Error,
    resources::{App, AppServer},
};

use crate::harness::Cluster;

/// What an agent says about itself and an application.
pub(crate) fn server(agent: &Caller, app: &str, public_addr: &str) -> AppServer {
    let mut of = App::new(app, Default::default());
    of.spec.uri = "http://127.0.0.1:1".into();
    of.spec.public_addr = public_addr.into();
    let mut server = AppServer::new(app, Default::default());
    server.spec.host_id = agent.identity().host_id().unwrap().to_owned();
    server.spec.app = Some(of);
    server
}

pub(crate) async fn announce(
    cluster: &Cluster,
    agent: &Caller,
    app: &str,
    public_addr: &str,
) -> Result<AppServer, Error> {
    let announced = servers::upsert(&cluster.auth, agent, server(agent, app, public_addr)).await;
    cluster.settle().await;
    announced
}
