//! `tctl bots instances show`: one instance, with how it joined and what it says about itself.

use anyhow::Context;
use cli::{Format, Table};
use domain::{
    form::duration,
    resources::{
        BotInstance,
        bot_instance::{Authentication, HealthStatus, Heartbeat, ServiceHealth},
    },
};

use crate::{
    args::Shape,
    cluster::{self, show_time},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tctl bots instances show ci/6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11")]
pub(crate) struct Args {
    /// `BOT/UUID`, as `tctl bots instances ls` shows it.
    #[arg(value_name = "BOT/UUID")]
    instance: String,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let (bot, id) = args
        .instance
        .split_once('/')
        .with_context(|| format!("\"{}\" is not BOT/UUID, as tctl bots instances ls shows it", args.instance))
        .map_err(|error| anyhow::Error::new(cli::exit::Usage(error.to_string())))?;
    let client = session.client().await?;
    let instance = cluster::bot_instance(&client, bot, id).await?;
    if args.shape.format != Format::Text {
        return session.out.value(args.shape.format, &instance);
    }
    session.out.text(text(&instance))
}

fn text(instance: &BotInstance) -> String {
    let status = &instance.status;
    let mut text = format!("Bot:      {}\nInstance: {}\n", instance.spec.bot_name, instance.spec.instance_id);
    text.push_str(&section("Initial authentication", status.initial_authentication.as_ref().map(authentication)));
    text.push_str(&section("Latest authentication", status.latest_authentications.last().map(authentication)));
    text.push_str(&section("Latest heartbeat", status.latest_heartbeats.last().map(heartbeat)));
    if !status.service_health.is_empty() {
        text.push_str(&section("Services", Some(services(&status.service_health))));
    }
    text
}

fn section(title: &str, table: Option<Table>) -> String {
    match table {
        Some(table) => format!("\n{title}:\n{table}"),
        None => format!("\n{title}: none\n"),
    }
}

fn authentication(record: &Authentication) -> Table {
    let mut table = Table::new(["Field", "Value"]);
    table
        .row(["Authenticated at".to_owned(), record.authenticated_at.map(show_time).unwrap_or_default()])
        .row(["Join method".to_owned(), record.join_method.clone()])
        .row(["Join token".to_owned(), record.join_token.clone()])
        .row(["Generation".to_owned(), record.generation.to_string()]);
    table
}

fn heartbeat(record: &Heartbeat) -> Table {
    let mut table = Table::new(["Field", "Value"]);
    table
        .row(["Recorded at".to_owned(), record.recorded_at.map(show_time).unwrap_or_default()])
        .row(["Version".to_owned(), record.version.clone()])
        .row(["Hostname".to_owned(), record.hostname.clone()])
        .row(["Platform".to_owned(), format!("{}/{}", record.os, record.architecture)])
        .row(["Uptime".to_owned(), record.uptime.map(duration::format).unwrap_or_default()])
        .row(["At startup".to_owned(), record.is_startup.to_string()])
        .row(["One shot".to_owned(), record.one_shot.to_string()]);
    table
}

fn services(health: &[ServiceHealth]) -> Table {
    let mut table = Table::new(["Service", "Status", "Reason", "Updated at"]);
    for one in health {
        let status = match one.status {
            HealthStatus::Unspecified => "unknown",
            HealthStatus::Initializing => "initializing",
            HealthStatus::Healthy => "healthy",
            HealthStatus::Unhealthy => "unhealthy",
        };
        table.row([
            one.service.as_ref().map(|service| service.name.clone()).unwrap_or_default(),
            status.to_owned(),
            one.reason.clone().unwrap_or_default(),
            one.updated_at.map(show_time).unwrap_or_default(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_of_an_instance() {
        let text = "{kind: bot_instance, version: v1, spec: {bot_name: ci, instance_id: 6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11}, \
                    status: {initial_authentication: {authenticated_at: '2026-01-01T00:00:00Z', join_method: token, \
                    join_token: '****cdef', generation: 1}, latest_heartbeats: [{recorded_at: '2026-01-01T02:00:00Z', \
                    version: 18.0.0, hostname: build-1, os: linux, architecture: x86_64, uptime: 90s}], service_health: \
                    [{service: {type: identity, name: ssh}, status: BOT_INSTANCE_HEALTH_STATUS_UNHEALTHY, reason: disk full}]}}";
        let mut documents = domain::document::read_valid_documents(text, "test").unwrap();
        let Some(domain::AnyResource::BotInstance(instance)) = documents.pop() else { panic!("no instance") };
        insta::assert_snapshot!(super::text(&instance), @r"
        Bot:      ci
        Instance: 6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11

        Initial authentication:
        Field            Value
        ---------------- --------------------
        Authenticated at 2026-01-01T00:00:00Z
        Join method      token
        Join token       ****cdef
        Generation       1

        Latest authentication: none

        Latest heartbeat:
        Field       Value
        ----------- --------------------
        Recorded at 2026-01-01T02:00:00Z
        Version     18.0.0
        Hostname    build-1
        Platform    linux/x86_64
        Uptime      1m30s
        At startup  false
        One shot    false

        Services:
        Service Status    Reason    Updated at
        ------- --------- --------- ----------
        ssh     unhealthy disk full
        ");
    }
}
