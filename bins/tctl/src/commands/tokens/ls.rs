//! `tctl tokens ls`: all join tokens.

use cli::{Format, Table};
use domain::{Resource, Timestamp, resources::Token};

use crate::{args::Shape, cluster::Remote, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tctl tokens ls\n  tctl tokens ls --with-secrets\n  tctl tokens ls --format=json\n\n\
                        The name of a token with join method \"token\" is the secret itself, and masked in the table."
)]
pub(crate) struct Args {
    /// Show secret names in full.
    #[arg(long)]
    with_secrets: bool,
    #[command(flatten)]
    shape: Shape,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let tokens = Token::list(&client, args.with_secrets).await?;
    if args.shape.format != Format::Text {
        return session.out.values(args.shape.format, &tokens);
    }
    if tokens.is_empty() {
        return session.out.line("No active tokens found.");
    }
    session.out.text(table(&tokens, args.with_secrets))
}

fn table(tokens: &[Token], with_secrets: bool) -> Table {
    let mut table = Table::new(["Token", "Type", "Labels", "Expiry Time (UTC)"]);
    for token in tokens {
        let name = if with_secrets { token.name().to_owned() } else { token.safe_name() };
        let roles: Vec<String> = token.spec.roles.iter().map(|role| role.as_str().to_owned()).collect();
        let labels = cli::table::labels(&token.metadata.labels);
        table.row([name, roles.join(","), labels, expiry(token.metadata.expires)]);
    }
    table
}

/// `11 Oct 19 22:17 UTC`, or `never`.
fn expiry(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| time.strftime("%d %b %y %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_and_time_is_written_as_documented() {
        let named = |name: &str| {
            let spec = domain::resources::token::TokenSpec {
                join_method: domain::resources::token::JoinMethod::Token,
                ..Default::default()
            };
            Token::new(name, spec)
        };
        let shown = table(&[named("0123456789abcdef"), named("short")], false).to_string();
        assert!(shown.contains("************cdef") && shown.contains("*****") && !shown.contains("short"), "{shown}");
        assert_eq!(expiry(Some("2019-10-11T22:17:05Z".parse().unwrap())), "11 Oct 19 22:17 UTC");
        assert_eq!(expiry(None), "never");
    }
}
