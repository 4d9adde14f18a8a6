//! Joins of new bots: the first connection, a one-time token, the first pair. Then renewals, each over a new connection.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    Binaries,
    cluster::{Cluster, Machine, key_pairs},
    report::{Report, Times, against, figure, milliseconds},
    server::Site,
    yardstick,
};

/// How many machines join.
const JOINS: usize = 1_000;

/// How many of them at a time.
const AT_A_TIME: usize = 16;

/// Seconds of server CPU for a thousand joins.
const GOAL: f64 = 0.7;

pub(crate) async fn run(binaries: &Binaries) -> anyhow::Result<Report> {
    let site = Site::new(binaries)?;
    let cluster = Arc::new(Cluster::of(site.start()?).await?);
    cluster.make_role().await?;
    cluster.make_bot("joiner").await?;
    let mut waiting = Vec::with_capacity(JOINS);
    for _ in 0..JOINS {
        waiting.push((cluster.make_token("joiner").await?, key_pairs()?));
    }
    let before = cluster.server.cpu()?;
    let joined = Arc::new(Mutex::new(Vec::with_capacity(JOINS)));
    let (mut times, elapsed) = at_a_time(waiting, {
        let (cluster, joined) = (Arc::clone(&cluster), Arc::clone(&joined));
        move |(token, keys)| {
            let (cluster, joined) = (Arc::clone(&cluster), Arc::clone(&joined));
            async move {
                let machine = cluster.join("joiner", &token, keys).await?;
                joined.lock().unwrap_or_else(PoisonError::into_inner).push(machine);
                Ok(())
            }
        }
    })
    .await?;
    let cpu = (cluster.server.cpu()? - before).as_secs_f64() * 1_000.0 / JOINS as f64;
    let row = |what: &str, cpu: f64, elapsed: Duration, times: &mut Times| {
        vec![
            what.to_owned(),
            figure(times.len() as f64 / elapsed.as_secs_f64()),
            figure(cpu),
            milliseconds(times.quantile(0.5)),
            milliseconds(times.quantile(0.99)),
        ]
    };
    let mut rows = vec![row("join of a new machine", cpu, elapsed, &mut times)];

    let machines: Vec<Machine> = std::mem::take(&mut *joined.lock().unwrap_or_else(PoisonError::into_inner));
    let before = cluster.server.cpu()?;
    let (mut times, elapsed) = at_a_time(machines, {
        let cluster = Arc::clone(&cluster);
        move |machine| {
            let cluster = Arc::clone(&cluster);
            async move { cluster.renew(&machine).await }
        }
    })
    .await?;
    let renewal = (cluster.server.cpu()? - before).as_secs_f64() * 1_000.0 / JOINS as f64;
    rows.push(row("renewal over a new connection", renewal, elapsed, &mut times));

    let mut report = Report::default();
    report.table(&["", "per second", "server CPU-s per 1,000", "p50", "p99"], &rows);
    let signatures = yardstick::signatures()?;
    let goals = [("goal: CPU for 1,000 joins", GOAL), ("the same goal, scaled", GOAL * yardstick::slower(signatures))]
        .map(|(what, goal)| [vec![what.to_owned()], against(cpu, goal, " CPU-s")].concat());
    report.table(&["compared with", "measured", "theirs", "ratio"], &goals);
    report.remark(&yardstick::remark(signatures));
    report.remark(&format!("{JOINS} of each, {AT_A_TIME} at a time, each over a new TLS connection."));
    Ok(report)
}

/// Does something for each item, several at a time, and notes how long each took.
async fn at_a_time<T, F>(items: Vec<T>, run: impl Fn(T) -> F) -> anyhow::Result<(Times, Duration)>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let began = Instant::now();
    let (mut times, mut running) = (Times::default(), JoinSet::new());
    for item in items {
        if running.len() >= AT_A_TIME
            && let Some(done) = running.join_next().await
        {
            times.push(done??);
        }
        let one = run(item);
        running.spawn(async move {
            let began = Instant::now();
            one.await?;
            anyhow::Ok(began.elapsed())
        });
    }
    while let Some(done) = running.join_next().await {
        times.push(done??);
    }
    Ok((times, began.elapsed()))
}
