//! `tctl bots instances ls`: the instances of one bot, or of all.

use cli::{Format, Table};
use domain::resources::BotInstance;

use crate::{
    args::Shape,
    cluster::{self, Instances, Order, show_time},
    session::Session,
};

/// What a list can be ordered by.
const FIELDS: [&str; 4] = ["bot_name", "active_at_latest", "version_latest", "host_name_latest"];

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl bots instances ls\n  tctl bots instances ls ci --format=json\n  \
                        tctl bots instances ls --search=build-host --sort=active_at_latest:desc")]
pub(crate) struct Args {
    /// Name of a bot [default: all].
    bot: Option<String>,
    /// Only instances that show this text: bot, id, host, version, system or join method.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    search: String,
    /// Only instances for which this expression is true.
    #[arg(long, value_name = "EXPRESSION", default_value = "", hide_default_value = true)]
    query: String,
    /// By what the list is ordered, `FIELD` or `FIELD:desc`: bot_name, active_at_latest, version_latest,
    /// host_name_latest.
    #[arg(long, value_name = "FIELD[:asc|desc]", value_parser = order, default_value = "bot_name")]
    sort: Order,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let bot = args.bot.unwrap_or_default();
    let search = Instances { bot, search: args.search, query: args.query, order: args.sort };
    let instances = cluster::bot_instances(&client, search).await?;
    if args.shape.format != Format::Text {
        return session.out.values(args.shape.format, &instances);
    }
    if instances.is_empty() {
        return session.out.line("No bot instances found");
    }
    session.out.text(table(&instances))
}

/// `FIELD`, `FIELD:asc` or `FIELD:desc`.
fn order(text: &str) -> Result<Order, String> {
    let (field, direction) = text.split_once(':').unwrap_or((text, "asc"));
    if !FIELDS.contains(&field) {
        return Err(format!("there are {}", FIELDS.join(", ")));
    }
    match direction {
        "asc" | "desc" => Ok(Order { field: field.to_owned(), descending: direction == "desc" }),
        other => Err(format!("\"{other}\" is no direction, write asc or desc")),
    }
}

/// The table of instances.
pub(crate) fn table(instances: &[BotInstance]) -> Table {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_a_field_and_a_direction() {
        let expected = |field: &str, descending| Order { field: field.to_owned(), descending };
        for (text, order) in [
            ("bot_name", Some(expected("bot_name", false))),
            ("active_at_latest:desc", Some(expected("active_at_latest", true))),
            ("host_name_latest:asc", Some(expected("host_name_latest", false))),
            ("bot_name:down", None),
            ("name", None),
        ] {
            assert_eq!(super::order(text).ok(), order, "{text}");
        }
    }

    #[test]
    fn the_table_of_instances() {
        let text = "{kind: bot_instance, version: v1, spec: {bot_name: ci, instance_id: 6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11}, \
                    status: {initial_authentication: {authenticated_at: '2026-01-01T00:00:00Z', join_method: token, \
                    generation: 1}, latest_authentications: [{authenticated_at: '2026-01-01T01:00:00Z', join_method: token, \
                    generation: 7}], latest_heartbeats: [{recorded_at: '2026-01-01T02:00:00Z', hostname: build-1}]}}";
        let mut documents = domain::document::read_valid_documents(text, "test").unwrap();
        let Some(domain::AnyResource::BotInstance(instance)) = documents.pop() else { panic!("no instance") };
        insta::assert_snapshot!(table(&[instance]), @r"
        ID                                      Join Method Hostname Joined               Last Seen            Generation
        --------------------------------------- ----------- -------- -------------------- -------------------- ----------
        ci/6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11 token       build-1  2026-01-01T00:00:00Z 2026-01-01T02:00:00Z 7
        ");
    }
}
