//! `tctl bots instances ls`: the instances of one bot, or of all.

use cli::{Format, Table};
use domain::resources::BotInstance;

use crate::{
    args::Shape,
    cluster::{self, show_time},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl bots instances ls\n  tctl bots instances ls ci --format=json")]
pub(crate) struct Args {
    /// Name of a bot [default: all].
    bot: Option<String>,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let instances = cluster::bot_instances(&client, args.bot.as_deref().unwrap_or_default()).await?;
    if args.shape.format != Format::Text {
        return session.out.values(args.shape.format, &instances);
    }
    if instances.is_empty() {
        return session.out.line("No bot instances found");
    }
    session.out.text(table(&instances))
}

fn table(instances: &[BotInstance]) -> Table {
    let mut table = Table::new(["ID", "Join Method", "Hostname", "Joined", "Last Seen", "Generation"]);
    for instance in instances {
        let status = &instance.status;
        let latest = status.latest_authentications.last().or(status.initial_authentication.as_ref());
        let heartbeat = status.latest_heartbeats.last().or(status.initial_heartbeat.as_ref());
        let joined = status.initial_authentication.as_ref().and_then(|record| record.authenticated_at);
        let seen = [latest.and_then(|record| record.authenticated_at), heartbeat.and_then(|record| record.recorded_at)];
        table.row([
            format!("{}/{}", instance.spec.bot_name, instance.spec.instance_id),
            latest.map(|record| record.join_method.clone()).unwrap_or_default(),
            heartbeat.map(|record| record.hostname.clone()).unwrap_or_default(),
            joined.map(show_time).unwrap_or_default(),
            seen.into_iter().flatten().max().map(show_time).unwrap_or_default(),
            latest.map(|record| record.generation.to_string()).unwrap_or_default(),
        ]);
    }
    table
}
