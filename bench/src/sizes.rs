//! How large the programs are, on disk and in memory while nothing happens.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{
    Binaries,
    cluster::Cluster,
    process,
    report::{Report, against},
    server::Site,
};

/// Until memory is looked at.
const SETTLE: Duration = Duration::from_secs(10);

/// How long the bot may take to write its first certificates.
const FIRST_OUTPUT: Duration = Duration::from_secs(30);

struct Bot(Child);

impl Drop for Bot {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn run(binaries: &Binaries) -> anyhow::Result<Report> {
    let site = Site::new(binaries)?;
    let cluster = Cluster::of(site.start()?).await?;
    cluster.make_role().await?;
    cluster.make_bot("sizes").await?;
    let bot = bot(binaries, &site, &cluster).await?;
    tokio::time::sleep(SETTLE).await;
    let (server_memory, bot_memory) = (cluster.server.resident()?, process::resident(bot.0.id())?);
    drop(bot);
    cluster.server.stop()?;

    let file = |name: &str| anyhow::Ok(fs::metadata(binaries.directory.join(name))?.len());
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let row = |what: &str, figures: Vec<String>| [vec![what.to_owned()], figures].concat();
    let mut report = Report::default();
    let rows = [
        row("goal: `tessera`, stripped", against(megabytes(file("tessera")?), 25.0, " MB")),
        row("SPIRE's server, stripped", against(megabytes(file("tessera")?), 166.0, " MB")),
        row("goal: `tbot`, stripped", against(megabytes(file("tbot")?), 15.0, " MB")),
        row("goal: idle `tessera`, resident", against(mebibytes(server_memory), 40.0, " MiB")),
        row("SPIRE, idle", against(megabytes(server_memory), 91.0, " MB")),
        row("step-ca, idle", against(megabytes(server_memory), 47.0, " MB")),
        row("goal: idle `tbot`, resident", against(mebibytes(bot_memory), 15.0, " MiB")),
    ];
    report.table(&["compared with", "measured", "theirs", "ratio"], &rows);
    report.remark(&format!(
        "`tctl` is {:.1} MB. Memory was read {} s after the bot, which writes one `identity` output, had its first \
         certificates.",
        megabytes(file("tctl")?),
        SETTLE.as_secs(),
    ));
    Ok(report)
}

/// Starts a bot that has one output and waits for its first certificates.
async fn bot(binaries: &Binaries, site: &Site, cluster: &Cluster) -> anyhow::Result<Bot> {
    let token = cluster.make_token("sizes").await?;
    let output = site.path().join("output-directory");
    fs::create_dir(&output)?;
    let config = site.path().join("tbot.yaml");
    let pin = cluster.pin().context("the cluster has no authority")?;
    let text = format!(
        "version: v2\nauth_server: {address}\nonboarding:\n  join_method: token\n  token: {token}\n  ca_pins: [\"{pin}\"]\n\
         storage: {{type: directory, path: {storage}}}\nservices:\n  - type: identity\n    name: one\n    \
         roles: [{role}]\n    destination: {{type: directory, path: {output}}}\n",
        address = cluster.server.address(),
        storage = site.path().join("tbot-store").display(),
        role = crate::cluster::ROLE,
        output = output.display(),
    );
    fs::write(&config, text)?;
    let log = fs::File::create(site.path().join("tbot.log"))?;
    let child = Command::new(binaries.directory.join("tbot"))
        .args(["start", "-c"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("tbot cannot be started")?;
    let mut bot = Bot(child);
    let until = Instant::now() + FIRST_OUTPUT;
    while !output.join("tlscert").exists() {
        if Instant::now() > until || bot.0.try_wait()?.is_some() {
            bail!("tbot wrote nothing: {}", fs::read_to_string(site.path().join("tbot.log")).unwrap_or_default());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(bot)
}
