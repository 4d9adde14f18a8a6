//! Labels whose values commands print (`commands` of the configuration file).

use std::{process::Stdio, sync::Arc, time::Duration};

use clock::Clock;
use domain::resources::app::CommandLabel;
use service::Stop;
use tokio::{process::Command, task::JoinSet};

use crate::registry::{Registry, Served};

/// A command is run no more often than this, whatever its `period` says.
const SHORTEST_PERIOD: Duration = Duration::from_secs(1);

/// How often it is run when it does not say.
const USUAL_PERIOD: Duration = Duration::from_secs(60);

/// How long a command may take.
const WITHIN: Duration = Duration::from_secs(30);

/// A label is a word, not a file.
const LONGEST: usize = 1024;

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
    loop {
        match ask(&label.command, &clock).await {
            Ok(value) => {
                if served.print(&key, value) {
                    registry.touch();
                }
            }
            // What it printed last counts on: a label that comes and goes would open and close doors by chance.
            Err(reason) => {
                tracing::warn!(app = served.app.name(), label = key, reason, "the command of a label failed");
            }
        }
        clock.sleep(period).await;
    }
}

/// The first line that the command prints.
async fn ask(command: &[String], clock: &Clock) -> Result<String, String> {
    let (program, arguments) = command.split_first().ok_or("there is no command")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = clock.timeout(WITHIN, command.output()).await;
    let output = output.map_err(|_| "it takes too long")?.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(output.status.to_string());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.trim().lines().next().unwrap_or_default().trim();
    Ok(line.chars().filter(|letter| !letter.is_control()).take(LONGEST).collect())
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
    }
}
