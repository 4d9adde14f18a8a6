//! `tctl audit ls`: events, newest first.

use std::time::Duration;

use anyhow::Context;
use cli::{Format, Table};
use domain::form::time;
use serde_json::Value;

use crate::{
    args::Shape,
    cluster::{self, Search},
    commands::traits::{self, words},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tctl audit ls\n  tctl audit ls --types=bot.join,cert.create --since=1h --format=json\n  \
                        tctl audit ls --from=2026-01-01T00:00:00Z --to=2026-01-02T00:00:00Z --limit=1000"
)]
pub(crate) struct Args {
    /// Only events of these types.
    #[arg(long)]
    types: Option<String>,
    /// How far back.
    #[arg(long, value_parser = traits::duration, default_value = "24h", conflicts_with = "from")]
    since: Duration,
    /// The earliest time, RFC 3339.
    #[arg(long)]
    from: Option<String>,
    /// The latest time, RFC 3339 [default: now].
    #[arg(long)]
    to: Option<String>,
    /// At most so many events.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Oldest first.
    #[arg(long)]
    ascending: bool,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let now = session.clock.now();
    let parse = |flag: &str, text: &str| {
        let time = time::parse(text).map_err(domain::Error::invalid).with_context(|| flag.to_owned())?;
        time.with_context(|| domain::Error::invalid(format!("{flag}: \"{text}\" is no time")))
    };
    let to = args.to.as_deref().map_or(Ok(now), |text| parse("--to", text))?;
    let from = match args.from.as_deref() {
        Some(text) => parse("--from", text)?,
        None => to.checked_sub(args.since)?,
    };
    let client = session.client().await?;
    let search = Search {
        from,
        to,
        types: words(args.types.as_deref().unwrap_or_default()),
        limit: args.limit,
        newest_first: !args.ascending,
    };
    let events = cluster::audit_events(&client, search).await?;
    if args.shape.format != Format::Text {
        return session.out.values(args.shape.format, &events);
    }
    if events.is_empty() {
        return session.out.line("No events found");
    }
    session.out.text(table(&events))
}

fn table(events: &[Value]) -> Table {
    let mut table = Table::new(["Time", "Event", "Code", "User", "About"]);
    for event in events {
        let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        table.row([text("time"), text("event"), text("code"), text("user"), about(event)]);
    }
    table
}

/// The few fields that tell one event from the next of its type.
fn about(event: &Value) -> String {
    const KEYS: [&str; 8] =
        ["name", "bot_name", "bot_instance_id", "method", "token_name", "cert_type", "error", "message"];
    let parts = KEYS.iter().filter_map(|key| match event.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(format!("{key}={text}")),
        _ => None,
    });
    let mut parts: Vec<String> = parts.collect();
    if let Some(user) = event.pointer("/identity/user").and_then(Value::as_str) {
        parts.push(format!("for={user}"));
    }
    if event.get("success") == Some(&Value::Bool(false)) {
        parts.insert(0, "FAILED".to_owned());
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_events() {
        let event = serde_json::json!({
            "time": "2026-01-01T00:00:00Z", "event": "bot.join", "code": "TJ001E", "success": false,
            "bot_name": "ci", "method": "token", "error": "token expired or not found",
        });
        insta::assert_snapshot!(table(&[event]), @r"
        Time                 Event    Code   User About
        -------------------- -------- ------ ---- ----------------------------------------------------------------
        2026-01-01T00:00:00Z bot.join TJ001E      FAILED bot_name=ci method=token error=token expired or not found
        ");
    }
}
