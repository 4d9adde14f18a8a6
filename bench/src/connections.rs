//! What an idle connection costs the server, alone and with a watch.

use std::{sync::Arc, time::Duration};

use api::{r#gen::proto::PingRequest, methods::proto::auth_service::Ping};
use client::{Client, WatchKind};

use crate::{
    Binaries,
    cluster::Cluster,
    report::{Report, against, figure},
    server::Site,
};

/// How many connections are opened.
const CONNECTIONS: usize = 2_000;

/// How many identities they show in turn.
const IDENTITIES: usize = 16;

/// Until memory is looked at.
const SETTLE: Duration = Duration::from_secs(3);

/// Kilobytes of a connection: alone, and with a watch.
const GOALS: (f64, f64) = (40.0, 60.0);

/// What the peer's connections cost, at best.
const SPIRE: f64 = 55.0;

pub(crate) async fn run(binaries: &Binaries) -> anyhow::Result<Report> {
    let site = Site::new(binaries)?;
    let cluster = Cluster::of(site.start()?).await?;
    let machines = cluster.machines(IDENTITIES).await?;
    // What the first connections make the server allocate once is not theirs.
    let first = open(&cluster, &machines, 100).await?;
    drop(first);
    tokio::time::sleep(SETTLE).await;
    let empty = cluster.server.resident()?;
    let connections = open(&cluster, &machines, CONNECTIONS).await?;
    tokio::time::sleep(SETTLE).await;
    let idle = cluster.server.resident()?;
    let spent = cluster.server.cpu()?;
    tokio::time::sleep(SETTLE).await;
    let resting = (cluster.server.cpu()? - spent).as_secs_f64() / SETTLE.as_secs_f64();
    let mut watches = Vec::with_capacity(CONNECTIONS);
    for client in &connections {
        watches.push(client.watch(vec![WatchKind::all("cert_authority")]).await?);
    }
    tokio::time::sleep(SETTLE).await;
    let watched = cluster.server.resident()?;
    let spent = cluster.server.cpu()?;
    tokio::time::sleep(SETTLE).await;
    let watching = (cluster.server.cpu()? - spent).as_secs_f64() / SETTLE.as_secs_f64();
    drop((watches, connections));

    let each = |bytes: u64| bytes.saturating_sub(empty) as f64 / CONNECTIONS as f64 / 1_000.0;
    let row = |what: &str, measured: f64, other: f64| [vec![what.to_owned()], against(measured, other, " kB")].concat();
    let mut report = Report::default();
    let rows = [
        row("goal: an idle connection", each(idle), GOALS.0),
        row("goal: an idle connection with one watch", each(watched), GOALS.1),
        row("SPIRE's idle connection (55 to 80 kB)", each(idle), SPIRE),
    ];
    report.table(&["compared with", "measured", "theirs", "ratio"], &rows);
    report.remark(&format!(
        "{CONNECTIONS} connections with client certificates; resident memory {} MB before, {} MB with them, {} MB with a \
         watch on each. While nothing happens the server spends {} of a core with the connections and {} with the watches.",
        figure(empty as f64 / 1e6),
        figure(idle as f64 / 1e6),
        figure(watched as f64 / 1e6),
        percent(resting),
        percent(watching),
    ));
    cluster.server.stop()?;
    Ok(report)
}

async fn open(
    cluster: &Cluster,
    machines: &[crate::cluster::Machine],
    count: usize,
) -> anyhow::Result<Vec<Arc<Client>>> {
    let mut connections = Vec::with_capacity(count);
    for machine in machines.iter().cycle().take(count) {
        let client = cluster.connect(&machine.credentials).await?;
        // So that the server has decided who this is, as it has for every bot that ever asked something.
        client.call::<Ping>(PingRequest {}).await?;
        connections.push(Arc::new(client));
    }
    Ok(connections)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
