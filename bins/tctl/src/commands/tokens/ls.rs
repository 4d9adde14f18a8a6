//! `tctl tokens ls`: all join tokens.

use cli::{Format, Table};
use domain::{Resource, Timestamp, resources::Token, role::SystemRole};
use serde_json::Value;

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

/// The table of tokens; names that are secrets are masked unless asked for.
pub(crate) fn table(tokens: &[Token], with_secrets: bool) -> Table {
    let mut table = Table::new(["Token", "Type", "Labels", "Expiry Time (UTC)", "Join Method", "Usable By"]);
    for token in tokens {
        let name = if with_secrets { token.name().to_owned() } else { token.safe_name() };
        let roles: Vec<&str> = token.spec.roles.iter().map(|role| role_name(*role)).collect();
        let labels = cli::table::labels(&token.metadata.labels);
        let method = token.spec.join_method.as_str().to_owned();
        table.row([name, roles.join(","), labels, expiry(token.metadata.expires), method, usable_by(token)]);
    }
    table
}

/// What a token gives; the links that `tctl users add` makes are listed among the tokens.
fn role_name(role: SystemRole) -> &'static str {
    if role == SystemRole::Signup { "User signup" } else { role.as_str() }
}

/// Which bot may use a token, and from where: the rules of its join method, `;` between them.
fn usable_by(token: &Token) -> String {
    let mut parts = Vec::new();
    if !token.spec.bot_name.is_empty() {
        parts.push(format!("bot {}", token.spec.bot_name));
    }
    let spec = serde_json::to_value(&token.spec).unwrap_or_default();
    let method = token.spec.join_method.as_str();
    // The rules of `iam` and `ec2` stand in the spec itself, those of the other methods in a section of their name.
    let rules = spec.pointer(&format!("/{method}/allow")).or_else(|| spec.get("allow")).and_then(Value::as_array);
    let rules: Vec<String> = rules.into_iter().flatten().map(rule).collect();
    if !rules.is_empty() {
        parts.push(format!("where {}", rules.join("; ")));
    }
    parts.join(" ")
}

/// One rule as `key=value` words.
fn rule(rule: &Value) -> String {
    let fields = rule.as_object().into_iter().flatten();
    let words = fields.map(|(key, value)| match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `11 Oct 19 22:17 UTC`, or `never`.
fn expiry(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| time.strftime("%d %b %y %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_who_may_use_a_token_and_from_where() {
        let text = "{kind: token, version: v2, metadata: {name: gh, labels: {team: a}, expires: '2026-01-02T03:04:05Z'}, \
                    spec: {roles: [Bot], bot_name: ci, join_method: github, github: {allow: [{repository: o/r}, \
                    {repository: o/s, ref_type: branch}]}}}\n---\n{kind: token, version: v2, metadata: {name: aws}, \
                    spec: {roles: [Node], join_method: iam, allow: [{aws_account: '1234'}]}}\n---\n\
                    {kind: token, version: v2, metadata: {name: 0123456789abcdef}, spec: {roles: [App, Node]}}";
        let documents = domain::document::read_valid_documents(text, "test").unwrap();
        let tokens: Vec<Token> = documents
            .into_iter()
            .map(|document| match document {
                domain::AnyResource::Token(token) => token,
                other => panic!("{other:?}"),
            })
            .collect();
        insta::assert_snapshot!(table(&tokens, false), @r"
        Token            Type     Labels Expiry Time (UTC)   Join Method Usable By
        ---------------- -------- ------ ------------------- ----------- -----------------------------------------------------------
        gh               Bot      team=a 02 Jan 26 03:04 UTC github      bot ci where repository=o/r; repository=o/s ref_type=branch
        aws              Node            never               iam         where aws_account=1234
        ************cdef App,Node        never               token
        ");
    }

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
