//! Ten thousand bots with three instances each: start, memory, lists, and changes told to a thousand watchers.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::{
    convert::Wire,
    r#gen::{
        proto::{self, event},
        teleport::machineid::v1::{ListBotInstancesRequest, ListBotsRequest},
    },
    methods::{
        proto::auth_service::CreateApp,
        teleport::machineid::v1::{bot_instance_service::ListBotInstances, bot_service::ListBots},
    },
};
use client::{Watch, WatchKind};
use crypto::Random;
use domain::{
    Resource,
    resources::{App, app::AppSpec},
};
use tokio::task::JoinSet;

use crate::{
    Binaries,
    cluster::Cluster,
    report::{Report, Times, against, figure, milliseconds, say},
    server::Site,
    stock::Stock,
};

const BOTS: usize = 10_000;
const INSTANCES: usize = 3;
const WATCHERS: usize = 1_000;

/// Changes of one measurement, and how many in a second.
const CHANGES: u32 = 200;
const A_SECOND: u32 = 20;

/// Mebibytes of the server, milliseconds until the last watcher has seen a change.
const GOALS: (f64, f64) = (150.0, 100.0);

/// Instances renew every 20 minutes unless told otherwise.
const RENEWALS_A_SECOND: f64 = (BOTS * INSTANCES) as f64 / 1_200.0;

pub(crate) async fn run(binaries: &Binaries) -> anyhow::Result<Report> {
    let site = Site::new(binaries)?;
    let cluster = Cluster::of(site.start()?).await?;
    cluster.make_role().await?;
    cluster.server.stop()?;
    let mut stock = Stock::open(&site)?;
    let random = Random::seeded(1);
    for number in 0..BOTS {
        let bot = format!("bot-{number:05}");
        stock.put_bot(&bot).await?;
        for _ in 0..INSTANCES {
            stock.put_instance(&bot, &random.uuid().to_string()).await?;
        }
    }
    let items = stock.close().await?;
    say(&format!("  {items} items"));
    // The first start after the filling empties the write-ahead log; the second is the ordinary one.
    site.start()?.stop()?;
    let cluster = Cluster::of(site.start()?).await?;
    let (started, memory) = (cluster.server.took, cluster.server.resident()?);
    let (mut bots, all_bots) = list_bots(&cluster).await?;
    let (mut instances, all_instances) = list_instances(&cluster).await?;
    let after_lists = cluster.server.resident()?;

    let mut report = Report::default();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let list = |what: &str, pages: &mut Times, all: Duration| {
        vec![what.to_owned(), milliseconds(pages.median()), milliseconds(pages.quantile(0.99)), milliseconds(all)]
    };
    let rows = [list("bots", &mut bots, all_bots), list("bot instances", &mut instances, all_instances)];
    report.table(&["list", "page p50", "page p99", "all pages"], &rows);
    let mut told = fan_out(&cluster).await?;
    let with_watchers = cluster.server.resident()?;
    cluster.server.stop()?;
    let last = told.last.quantile(0.99).as_secs_f64() * 1_000.0;
    let rows = [
        [vec!["goal: resident memory after the start".to_owned()], against(mib(memory), GOALS.0, " MiB")].concat(),
        [vec!["goal: a change seen by all 1,000 watchers, p99".to_owned()], against(last, GOALS.1, " ms")].concat(),
    ];
    report.table(&["compared with", "measured", "theirs", "ratio"], &rows);
    report.remark(&format!(
        "{BOTS} bots with {INSTANCES} instances each ({items} items with users and roles). Restart to ready: {}. Resident: {} MiB \
         after the start, {} MiB after all lists, {} MiB with {WATCHERS} watchers. {CHANGES} changes, {A_SECOND} a second, each from \
         the call that makes it until a watcher has it: p50 {}, p99 {} over all watchers; until the last of them has it: \
         p50 {}, p99 {}. Server: {:.0} % of a core meanwhile. All clients are one thread on the same machine. These instances \
         make {} renewals a second; see joins for what one costs.",
        milliseconds(started),
        figure(mib(memory)),
        figure(mib(after_lists)),
        figure(mib(with_watchers)),
        milliseconds(told.each.quantile(0.5)),
        milliseconds(told.each.quantile(0.99)),
        milliseconds(told.last.quantile(0.5)),
        milliseconds(told.last.quantile(0.99)),
        told.load * 100.0,
        figure(RENEWALS_A_SECOND),
    ));
    Ok(report)
}

async fn list_bots(cluster: &Cluster) -> anyhow::Result<(Times, Duration)> {
    let (began, mut pages, mut page_token, mut count) = (Instant::now(), Times::default(), String::new(), 0);
    loop {
        let asked = Instant::now();
        let page = cluster.admin.call::<ListBots>(ListBotsRequest { page_token, ..Default::default() }).await?;
        pages.push(asked.elapsed());
        count += page.bots.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            anyhow::ensure!(count == BOTS, "{count} bots were listed");
            return Ok((pages, began.elapsed()));
        }
    }
}

async fn list_instances(cluster: &Cluster) -> anyhow::Result<(Times, Duration)> {
    let (began, mut pages, mut page_token, mut count) = (Instant::now(), Times::default(), String::new(), 0);
    loop {
        let asked = Instant::now();
        let request = ListBotInstancesRequest { page_token, ..Default::default() };
        let page = cluster.admin.call::<ListBotInstances>(request).await?;
        pages.push(asked.elapsed());
        count += page.bot_instances.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            anyhow::ensure!(count == BOTS * INSTANCES, "{count} instances were listed");
            return Ok((pages, began.elapsed()));
        }
    }
}

/// How long changes took to be seen.
struct Told {
    /// By each watcher.
    each: Times,
    /// By the last one.
    last: Times,
    /// What share of a core the server spent.
    load: f64,
}

type Sent = Arc<Mutex<Vec<Instant>>>;

async fn fan_out(cluster: &Cluster) -> anyhow::Result<Told> {
    cluster.make_bot("watcher").await?;
    let token = cluster.make_token("watcher").await?;
    let machine = cluster.join("watcher", &token, crate::cluster::key_pairs()?).await?;
    let credentials = cluster.taken_on(&machine).await?;
    let sent: Sent = Arc::default();
    let mut watchers = JoinSet::new();
    for _ in 0..WATCHERS {
        let client = cluster.connect(&credentials).await?;
        let watch = client.watch(vec![WatchKind::all("app")]).await?;
        let sent = Arc::clone(&sent);
        watchers.spawn(async move {
            // The connection ends with its client.
            let _client = client;
            follow(watch, &sent).await
        });
    }
    say("  watchers are there");
    let (cpu, began) = (cluster.server.cpu()?, Instant::now());
    for number in 0..CHANGES {
        tokio::time::sleep_until((began + Duration::from_secs(1) * number / A_SECOND).into()).await;
        let mut app = App::new(name(number), AppSpec { uri: "http://127.0.0.1:80".into(), ..AppSpec::default() });
        app.set_defaults();
        let app = app.to_wire();
        sent.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        cluster.admin.call::<CreateApp>(app).await?;
    }
    let (mut each, mut last) = (Times::default(), vec![Duration::ZERO; CHANGES as usize]);
    while let Some(seen) = watchers.join_next().await {
        for (time, last) in seen??.into_iter().zip(&mut last) {
            each.push(time);
            *last = time.max(*last);
        }
    }
    let load = (cluster.server.cpu()? - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
    let mut slowest = Times::default();
    last.into_iter().for_each(|time| slowest.push(time));
    Ok(Told { each, last: slowest, load })
}

/// Waits for all changes, in their order, and says how long each took to come.
async fn follow(mut watch: Watch, sent: &Sent) -> anyhow::Result<Vec<Duration>> {
    let mut seen = Vec::with_capacity(CHANGES as usize);
    while seen.len() < CHANGES as usize {
        let event: proto::Event = watch.next().await?;
        let now = Instant::now();
        let Some(event::Resource::App(app)) = event.resource else { continue };
        let expected = name(u32::try_from(seen.len())?);
        let found = app.metadata.map(|metadata| metadata.name).unwrap_or_default();
        anyhow::ensure!(found == expected, "a watcher saw {found} instead of {expected}");
        let sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(now.saturating_duration_since(*sent.get(seen.len()).unwrap_or(&now)));
    }
    Ok(seen)
}

fn name(number: u32) -> String {
    format!("change-{number:04}")
}
