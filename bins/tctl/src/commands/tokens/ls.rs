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
        let is_secret = token.spec.join_method.as_str() == "token";
        let name = if is_secret && !with_secrets { mask(token.name()) } else { token.name().to_owned() };
        let roles: Vec<String> = token.spec.roles.iter().map(|role| role.as_str().to_owned()).collect();
        let labels = cli::table::labels(&token.metadata.labels);
        table.row([name, roles.join(","), labels, expiry(token.metadata.expires)]);
    }
    table
}

/// The first four characters of a secret that is long enough to keep the rest safe, and stars.
fn mask(name: &str) -> String {
    let shown: String = name.chars().take(if name.chars().count() >= 16 { 4 } else { 0 }).collect();
    format!("{shown}********")
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
        assert_eq!(mask("0123456789abcdef"), "0123********");
        assert_eq!(mask("short"), "********");
        assert_eq!(expiry(Some("2019-10-11T22:17:05Z".parse().unwrap())), "11 Oct 19 22:17 UTC");
        assert_eq!(expiry(None), "never");
    }
}
