//! From `exec` to readiness: a new cluster, and one that is there already.

use crate::{
    Binaries,
    report::{Report, Times, against, milliseconds},
    server::Site,
};

/// How many starts the medians are of.
const STARTS: usize = 20;

/// Milliseconds: the first start, and the next ones.
const GOALS: (f64, f64) = (1_000.0, 50.0);

/// What the peer's restart takes.
const SPIRE: f64 = 56.0;

pub(crate) async fn run(binaries: &Binaries) -> anyhow::Result<Report> {
    let (mut first, mut again) = (Times::default(), Times::default());
    for _ in 0..STARTS {
        let site = Site::new(binaries)?;
        let server = site.start()?;
        first.push(server.took);
        server.stop()?;
    }
    let site = Site::new(binaries)?;
    site.start()?.stop()?;
    for _ in 0..STARTS {
        let server = site.start()?;
        again.push(server.took);
        server.stop()?;
    }
    let mut report = Report::default();
    let row = |what: &str, times: &mut Times| {
        let quantile = |times: &mut Times, share| milliseconds(times.quantile(share));
        vec![what.to_owned(), quantile(times, 0.0), quantile(times, 0.5), quantile(times, 1.0)]
    };
    let rows = [row("first start", &mut first), row("restart", &mut again)];
    report.table(&["", "fastest", "median", "slowest"], &rows);
    let millis = |times: &mut Times| times.median().as_secs_f64() * 1_000.0;
    let (first, again) = (millis(&mut first), millis(&mut again));
    let row = |what: &str, measured: f64, other: f64| [vec![what.to_owned()], against(measured, other, " ms")].concat();
    let rows = [
        row("goal: first start", first, GOALS.0),
        row("goal: restart", again, GOALS.1),
        row("SPIRE's restart", again, SPIRE),
    ];
    report.table(&["compared with", "measured", "theirs", "ratio"], &rows);
    report.remark(&format!("{STARTS} of each, from `exec` to `READY=1` on the service manager's socket."));
    Ok(report)
}
