//! Labels whose values commands print (`commands` of the configuration file).

use std::{
    io,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use clock::Clock;
use domain::resources::app::CommandLabel;
use rustix::process::{Pid, Signal, kill_process_group};
use service::Stop;
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
    task::JoinSet,
};

use crate::registry::{Registry, Served};

/// A command is run no more often than this, whatever its `period` says.
const SHORTEST_PERIOD: Duration = Duration::from_secs(1);

/// How often it is run when it does not say.
const USUAL_PERIOD: Duration = Duration::from_secs(60);

/// How long a command may take.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);

/// A label is a word, not a file.
const LONGEST: usize = 1024;

/// Bytes that a command may print in all.
const MOST_PRINTED: u64 = 64 * 1024;

/// Runs the commands of all applications of the configuration file, until `stop`.
pub(crate) async fn run(registry: &Arc<Registry>, clock: &Clock, stop: Stop) {
    let mut tasks = JoinSet::new();
    for served in registry.fixed() {
        for (key, label) in &served.app.document().spec.dynamic_labels {
            let (registry, served, clock) = (Arc::clone(registry), Arc::clone(served), clock.clone());
            tasks.spawn(keep(registry, served, key.clone(), label.clone(), clock));
        }
    }
    // The tasks go on for ever; dropping the set ends them and what they run.
    stop.requested().await;
}

async fn keep(registry: Arc<Registry>, served: Arc<Served>, key: String, label: CommandLabel, clock: Clock) {
    let period = if label.period.is_zero() { USUAL_PERIOD } else { label.period.max(SHORTEST_PERIOD) };
    let mut has_worked = false;
    loop {
        let printed = ask(&label.command, &clock).await.inspect_err(|reason| {
            tracing::warn!(app = served.app.name(), label = key, reason, "the command of a label failed");
        });
        has_worked |= printed.is_ok();
        if served.print(&key, printed.ok()) {
            registry.touch();
        }
        // Until it has worked, some are not let in for it.
        clock.sleep(if has_worked { period } else { period.min(USUAL_PERIOD) }).await;
    }
}

/// A command that runs. Whoever lets go of it ends it, and what it has started.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // None: it has ended, and its number may be another's.
        let group = self.0.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(Err(error)) = group.map(|group| kill_process_group(group, Signal::KILL)) {
            tracing::warn!(%error, "the command of a label may still be running");
        }
    }
}

/// The first line that the command prints.
async fn ask(command: &[String], clock: &Clock) -> Result<String, String> {
    let (program, arguments) = command.split_first().ok_or("there is no command")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let mut running = Running(command.spawn().map_err(|error| error.to_string())?);
    let output = clock.timeout(WITHIN, output(&mut running.0)).await;
    let (printed, status) = output.map_err(|_| "it takes too long")?.map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(status.to_string());
    }
    let text = String::from_utf8_lossy(&printed);
    let line = text.trim().lines().next().unwrap_or_default().trim();
    Ok(line.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect())
}

async fn output(child: &mut Child) -> io::Result<(Vec<u8>, ExitStatus)> {
    let mut printed = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MOST_PRINTED + 1).read_to_end(&mut printed).await?;
    }
    if printed.len() as u64 > MOST_PRINTED {
        return Err(io::Error::other(format!("it prints more than {MOST_PRINTED} bytes")));
    }
    Ok((printed, child.wait().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_label_is_the_first_line_that_a_command_prints() {
        let clock = Clock::system();
        let run = |text: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()];
        assert_eq!(ask(&run("printf ' one \\n two'"), &clock).await, Ok("one".to_owned()));
        assert_eq!(ask(&run("yes x | tr -d '\\n' | head -c 5000"), &clock).await.unwrap().len(), LONGEST);
        for bad in [vec![], run("exit 3"), vec!["/nonexistent".to_owned()]] {
            assert!(ask(&bad, &clock).await.is_err(), "{bad:?}");
        }
        let endless = ask(&run("yes"), &clock).await.unwrap_err();
        assert!(endless.contains("prints more"), "{endless}");
    }

    #[tokio::test]
    async fn a_command_that_is_given_up_ends_with_all_that_it_started() {
        let home = tempfile::tempdir().unwrap();
        let (begun, alive) = (home.path().join("begun"), home.path().join("alive"));
        let text = format!("(touch {}; sleep 1; touch {}) & wait", begun.display(), alive.display());
        let (clock, command) = (Clock::system(), ["/bin/sh".to_owned(), "-c".to_owned(), text]);
        tokio::select! {
            printed = ask(&command, &clock) => panic!("{printed:?}"),
            () = async {
                while !begun.exists() {
                    clock.sleep(Duration::from_millis(10)).await;
                }
            } => {}
        }
        clock.sleep(Duration::from_millis(1500)).await;
        assert!(!alive.exists());
    }
}
