//! Our path to an application beside nginx and HAProxy, which terminate mutual TLS before the same one: on the same machine,
//! in the same run, with the same certificates and the same client. Ours has one hop more, and decides on each request.

mod load;
mod path;
mod peers;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clock::Clock;
use crypto::tls::{ClientOptions, Trust, client_config};

pub(crate) use self::{
    load::{Sender, Target},
    path::{front, host_of, led_to, write_certificates},
};
use self::{
    path::OurPath,
    peers::{LARGE, LARGE_SIZE, Peer, SMALL},
};
use crate::{
    Binaries,
    cluster::Cluster,
    process,
    report::{Report, Times, against, figure, milliseconds, say},
    server::Site,
};

/// Connections that are kept while requests are counted.
const KEPT: usize = 32;

/// New connections at a time.
const NEW: usize = 8;

/// What is counted of requests and of new connections.
const COUNTED: Duration = Duration::from_secs(5);

/// Large answers one after the other, and at a time.
const ONE: usize = 8;
const MANY: usize = 16;

/// Of the requests of one client alone.
const ALONE: Duration = Duration::from_secs(3);

/// The goals, as parts of what nginx does, and in milliseconds.
const GOAL_REQUESTS: f64 = 0.33;
const GOAL_THROUGHPUT: f64 = 0.4;
const GOAL_ADDED_P99: f64 = 1.0;

/// What one reverse proxy did.
struct Done {
    name: &'static str,
    /// Per second of CPU.
    requests: f64,
    connections: f64,
    /// Bytes per second of CPU, and per second.
    one: (f64, f64),
    many: (f64, f64),
    alone: Times,
}

pub(crate) async fn run(binaries: &Binaries) -> anyhow::Result<Report> {
    let site = Site::new(binaries)?;
    let cluster = Cluster::of(site.start()?).await?;
    write_certificates(binaries, &site)?;
    let application = Peer::application(site.path())?;
    let ours = OurPath::start(&site, &cluster, application.address).await?;
    let machine = cluster.machines(1).await?.pop().context("no machine")?;
    let led = led_to(&cluster, &machine, path::APP).await?;
    let options =
        ClientOptions { trust: Trust::DangerAnyServer, certificate: led.chain(), alpn: vec![b"http/1.1".to_vec()] };
    let tls = client_config(options, &Clock::system())?;
    let target = |address| Target { address, host: host_of(path::APP), tls: Some(Arc::clone(&tls)) };

    let direct = Target { tls: None, ..target(application.address) };
    let mut direct = direct.requests(1, SMALL, ALONE).await?;
    let nginx = Peer::nginx_proxy(site.path(), application.address)?;
    let mut done = vec![measure("nginx", &target(nginx.address), &nginx.pids()).await?];
    drop(nginx);
    let haproxy = Peer::haproxy(site.path(), application.address)?;
    done.push(measure("HAProxy", &target(haproxy.address), &haproxy.pids()).await?);
    drop(haproxy);
    done.push(measure("Tessera", &target(ours.address), &ours.pids()).await?);
    ours.stop()?;
    cluster.server.stop()?;
    Ok(report(&mut direct, &mut done))
}

async fn measure(name: &'static str, target: &Target, pids: &[u32]) -> anyhow::Result<Done> {
    say(&format!("  {name}, pids {pids:?}"));
    let cpu = || pids.iter().map(|pid| process::cpu_of_family(*pid)).sum::<anyhow::Result<Duration>>();
    // Warm: workers have started, and connections to the application are there.
    target.requests(KEPT, SMALL, Duration::from_secs(1)).await.with_context(|| name.to_owned())?;

    let before = cpu()?;
    let count = target.requests(KEPT, SMALL, COUNTED).await?.len();
    let requests = count as f64 / (cpu()? - before).as_secs_f64();

    let before = cpu()?;
    let count = target.connections(NEW, SMALL, COUNTED).await?.len();
    let connections = count as f64 / (cpu()? - before).as_secs_f64();

    let (before, began) = (cpu()?, Instant::now());
    for _ in 0..ONE {
        target.streams(1, LARGE).await?;
    }
    let bytes = (ONE as u64 * LARGE_SIZE) as f64;
    let one = (bytes / (cpu()? - before).as_secs_f64(), bytes / began.elapsed().as_secs_f64());

    let (before, began) = (cpu()?, Instant::now());
    let bytes = target.streams(MANY, LARGE).await? as f64;
    let many = (bytes / (cpu()? - before).as_secs_f64(), bytes / began.elapsed().as_secs_f64());

    let alone = target.requests(1, SMALL, ALONE).await?;
    Ok(Done { name, requests, connections, one, many, alone })
}

fn report(direct: &mut Times, done: &mut [Done]) -> Report {
    let mut report = Report::default();
    let megabytes =
        |(per_cpu, per_second): (f64, f64)| format!("{} ({})", figure(per_cpu / 1e6), figure(per_second / 1e6));
    let quantiles = |times: &mut Times| [milliseconds(times.median()), milliseconds(times.quantile(0.99))];
    let mut rows =
        vec![[vec!["the application itself".to_owned()], vec![String::new(); 4], quantiles(direct).to_vec()].concat()];
    rows.extend(done.iter_mut().map(|done| {
        let figures = vec![figure(done.requests), figure(done.connections), megabytes(done.one), megabytes(done.many)];
        [vec![done.name.to_owned()], figures, quantiles(&mut done.alone).to_vec()].concat()
    }));
    report.table(
        &[
            "",
            "requests per CPU-s",
            "new connections per CPU-s",
            "MB per CPU-s (per s), one stream",
            "the same, 16 streams",
            "one client alone: p50",
            "p99",
        ],
        &rows,
    );
    let mut added =
        |done: &mut Done| done.alone.quantile(0.99).saturating_sub(direct.quantile(0.99)).as_secs_f64() * 1_000.0;
    if let [nginx, _, ours] = done {
        let part = |what: &str, ours: f64, theirs: f64, goal: f64| {
            vec![what.to_owned(), figure(ours / theirs), figure(goal), format!("{:.2}×", ours / theirs / goal)]
        };
        let rows = [
            part("requests per CPU-s, part of nginx's", ours.requests, nginx.requests, GOAL_REQUESTS),
            part("throughput per CPU-s, one stream", ours.one.0, nginx.one.0, GOAL_THROUGHPUT),
            part("throughput per CPU-s, 16 streams", ours.many.0, nginx.many.0, GOAL_THROUGHPUT),
            part("new connections per CPU-s", ours.connections, nginx.connections, GOAL_REQUESTS),
            [vec!["added p99 (less is better)".to_owned()], against(added(ours), GOAL_ADDED_P99, " ms")].concat(),
        ];
        report.table(&["compared with the goal", "measured", "goal", "ratio"], &rows);
    }
    report.remark(&format!(
        "CPU of the reverse proxy with its workers, or of our proxy and agent together; not of the application and the client. \
         1 KiB answers on {KEPT} kept connections, HTTP/1.1; whole handshakes with client certificates, {NEW} at a time; \
         answers of {} MiB.",
        LARGE_SIZE >> 20,
    ));
    report
}
