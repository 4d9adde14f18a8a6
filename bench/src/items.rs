//! A million stored items: the start, a get, and a page of a list, beside the same with ten thousand.

use std::time::{Duration, Instant};

use api::{
    r#gen::teleport::machineid::v1::{GetBotInstanceRequest, ListBotInstancesRequest},
    methods::teleport::machineid::v1::bot_instance_service::{GetBotInstance, ListBotInstances},
};
use crypto::Random;

use crate::{
    Binaries,
    cluster::Cluster,
    report::{Report, Times, against, figure, milliseconds, say},
    server::Site,
    stock::Stock,
};

/// How many items, few and many.
const TOTALS: [usize; 2] = [10_000, 1_000_000];

/// Instances of one bot.
const OF_ONE_BOT: usize = 100;

/// How many gets and pages are timed.
const ASKED: usize = 1_000;

/// Seconds until the server is ready.
const GOAL: f64 = 5.0;

struct Round {
    total: usize,
    started: Duration,
    memory: u64,
    get: Times,
    page: Times,
}

pub(crate) async fn run(binaries: &Binaries) -> anyhow::Result<Report> {
    let mut rounds = Vec::new();
    for total in TOTALS {
        rounds.push(round(binaries, total).await?);
    }
    let mut report = Report::default();
    let rows: Vec<Vec<String>> = rounds
        .iter_mut()
        .map(|round| {
            vec![
                round.total.to_string(),
                milliseconds(round.started),
                format!("{} MiB", figure(round.memory as f64 / f64::from(1 << 20))),
                milliseconds(round.get.quantile(0.5)),
                milliseconds(round.get.quantile(0.99)),
                milliseconds(round.page.quantile(0.5)),
                milliseconds(round.page.quantile(0.99)),
            ]
        })
        .collect();
    report.table(&["items", "start to ready", "resident", "get p50", "get p99", "page p50", "page p99"], &rows);
    if let [few, many] = rounds.as_mut_slice() {
        let ratio = |a: &mut Times, b: &mut Times| {
            let (a, b) = (a.median().as_secs_f64() * 1_000.0, b.median().as_secs_f64() * 1_000.0);
            against(a, b, " ms")
        };
        let rows = [
            [vec!["goal: start".to_owned()], against(many.started.as_secs_f64(), GOAL, " s")].concat(),
            [vec!["goal: get as with few items, p50".to_owned()], ratio(&mut many.get, &mut few.get)].concat(),
            [vec!["goal: page as with few items, p50".to_owned()], ratio(&mut many.page, &mut few.page)].concat(),
        ];
        report.table(&["compared with", "measured", "theirs", "ratio"], &rows);
    }
    report.remark(&format!(
        "The items are bot instances, {OF_ONE_BOT} to a bot. {ASKED} gets of instances anywhere, {ASKED} unfiltered pages of 100, \
         one page after the other from the beginning, over the administrator's socket."
    ));
    Ok(report)
}

async fn round(binaries: &Binaries, total: usize) -> anyhow::Result<Round> {
    let site = Site::new(binaries)?;
    site.start()?.stop()?;
    let mut stock = Stock::open(&site)?;
    let random = Random::seeded(7);
    let mut some = Vec::new();
    for number in 0..total {
        let (bot, id) = (format!("bot-{:06}", number / OF_ONE_BOT), random.uuid().to_string());
        stock.put_instance(&bot, &id).await?;
        if number.is_multiple_of((total / ASKED).max(1)) {
            some.push((bot, id));
        }
    }
    say(&format!("  {} items", stock.close().await?));
    site.start()?.stop()?;
    let cluster = Cluster::of(site.start()?).await?;
    let (started, memory) = (cluster.server.took, cluster.server.resident()?);
    let mut get = Times::default();
    for (bot_name, instance_id) in some {
        let began = Instant::now();
        cluster.admin.call::<GetBotInstance>(GetBotInstanceRequest { bot_name, instance_id }).await?;
        get.push(began.elapsed());
    }
    let (mut page, mut page_token) = (Times::default(), String::new());
    while page.len() < ASKED {
        let began = Instant::now();
        let request = ListBotInstancesRequest { page_token, page_size: 100, ..Default::default() };
        let answer = cluster.admin.call::<ListBotInstances>(request).await?;
        page.push(began.elapsed());
        anyhow::ensure!(!answer.bot_instances.is_empty(), "an empty page");
        page_token = answer.next_page_token;
    }
    cluster.server.stop()?;
    Ok(Round { total, started, memory, get, page })
}
