//! Pairs of certificates for roles that joined bots take on, over gRPC and mutual TLS, with commits made durable and audited.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use client::Client;
use tokio::task::JoinSet;

use crate::{
    Binaries,
    cluster::{Cluster, Machine},
    report::{Report, Times, against, figure, milliseconds},
    server::Site,
    yardstick,
};

/// How many clients ask at once. Each has a connection and an identity of its own and waits for its answer.
const CLIENTS: [usize; 4] = [1, 8, 32, 64];

/// Before anything is counted.
const WARM_UP: Duration = Duration::from_secs(2);

/// What is counted.
const COUNTED: Duration = Duration::from_secs(10);

/// Seconds of server CPU for a thousand pairs at 32 clients.
const GOAL_CPU: f64 = 0.18;

/// Milliseconds at 8 clients.
const GOAL_P99: f64 = 5.0;

/// What the peers spend for a thousand, and on what.
const PEERS: [(&str, f64); 4] = [
    ("SPIRE, X.509-SVIDs, nothing audited, at best", 0.38),
    ("SPIRE, X.509-SVIDs, nothing audited, at worst", 0.50),
    ("step-ca, X.509 certificates", 1.03),
    ("step-ca, SSH certificates", 0.58),
];

struct Round {
    clients: usize,
    pairs: usize,
    elapsed: Duration,
    cpu: Duration,
    times: Times,
}

impl Round {
    /// Seconds of server CPU for a thousand pairs.
    fn cpu_per_thousand(&self) -> f64 {
        self.cpu.as_secs_f64() * 1_000.0 / self.pairs.max(1) as f64
    }
}

pub(crate) async fn run(binaries: &Binaries) -> anyhow::Result<Report> {
    let site = Site::new(binaries)?;
    let cluster = Cluster::of(site.start()?).await?;
    let most = CLIENTS.into_iter().max().unwrap_or(1);
    let mut connected = Vec::with_capacity(most);
    for machine in cluster.machines(most).await? {
        let client = cluster.connect(&machine.credentials).await?;
        connected.push((Arc::new(machine), client));
    }
    let mut rounds = Vec::new();
    for clients in CLIENTS {
        let asking = connected.get(..clients).unwrap_or(&connected);
        ask_for(asking, WARM_UP).await?;
        let (before, began) = (cluster.server.cpu()?, Instant::now());
        let times = ask_for(asking, COUNTED).await?;
        let cpu = cluster.server.cpu()? - before;
        rounds.push(Round { clients, pairs: times.len(), elapsed: began.elapsed(), cpu, times });
        crate::report::say(&format!(
            "  {clients} clients: {:?} pairs, pid {}",
            times_len(&rounds),
            cluster.server.pid()
        ));
    }
    cluster.server.stop()?;
    Ok(report(rounds, yardstick::signatures()?))
}

fn times_len(rounds: &[Round]) -> usize {
    rounds.last().map_or(0, |round| round.pairs)
}

/// Lets every client ask, one question after the other.
async fn ask_for(clients: &[(Arc<Machine>, Client)], span: Duration) -> anyhow::Result<Times> {
    let until = Instant::now() + span;
    let mut asking = JoinSet::new();
    for (machine, client) in clients {
        let (machine, client) = (Arc::clone(machine), client.clone());
        asking.spawn(async move {
            let mut times = Times::default();
            while Instant::now() < until {
                let began = Instant::now();
                machine.ask(&client).await?;
                times.push(began.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut all = Times::default();
    while let Some(times) = asking.join_next().await {
        all.extend(times??);
    }
    Ok(all)
}

fn report(mut rounds: Vec<Round>, signatures: f64) -> Report {
    let mut report = Report::default();
    let rows: Vec<Vec<String>> = rounds
        .iter_mut()
        .map(|round| {
            vec![
                round.clients.to_string(),
                figure(round.pairs as f64 / round.elapsed.as_secs_f64()),
                figure(round.cpu_per_thousand()),
                milliseconds(round.times.quantile(0.5)),
                milliseconds(round.times.quantile(0.99)),
                round.pairs.to_string(),
            ]
        })
        .collect();
    report.table(&["clients", "pairs/s", "server CPU-s per 1,000 pairs", "p50", "p99", "pairs counted"], &rows);
    let at = |rounds: &[Round], clients| rounds.iter().position(|round| round.clients == clients);
    let mut goals = Vec::new();
    if let Some(round) = at(&rounds, 32).and_then(|index| rounds.get(index)) {
        let cpu = round.cpu_per_thousand();
        let mut row = |what: &str, other: f64| {
            goals.push([vec![what.to_owned()], against(cpu, other, " CPU-s")].concat());
        };
        row("goal: CPU for 1,000 pairs at 32 clients", GOAL_CPU);
        row("the same goal, scaled", GOAL_CPU * yardstick::slower(signatures));
        PEERS.iter().for_each(|(peer, spent)| row(peer, *spent));
    }
    if let Some(round) = at(&rounds, 8).and_then(|index| rounds.get_mut(index)) {
        let p99 = round.times.quantile(0.99).as_secs_f64() * 1_000.0;
        goals.push([vec!["goal: p99 at 8 clients".to_owned()], against(p99, GOAL_P99, " ms")].concat());
    }
    report.table(&["compared with", "measured", "theirs", "ratio"], &goals);
    report.remark(&yardstick::remark(signatures));
    report
}
