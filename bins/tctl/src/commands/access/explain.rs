//! `tctl access explain`: has the server decide for somebody else, and shows what each role contributed.

use anyhow::{Context, bail};
use cli::{Format, Table};
use domain::{Kind, ca::CaType, resources::Bot};

use crate::{
    args::Shape,
    cluster::{self, Question, Subject},
    commands::{reference, traits::words},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl access explain --user=alice --verb=create --resource=role\n  \
                        tctl access explain --bot=ci --verb=readnosecrets --resource=cert_authority/user\n  \
                        tctl access explain --roles=access,auditor --verb=list --resource=event")]
pub(crate) struct Args {
    #[command(flatten)]
    subject: Who,
    /// What is wanted: list, create, read, readnosecrets, update, delete, rotate, use; reach (an app); impersonate, request
    /// or search (a role).
    #[arg(long)]
    verb: String,
    /// To what: `KIND`, or `KIND/NAME`.
    #[arg(long, value_name = "KIND[/NAME]")]
    resource: String,
    #[command(flatten)]
    shape: Shape,
}

/// Who wants to.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// The user who wants to.
    #[arg(long)]
    user: Option<String>,
    /// The bot that wants to, with its own identity.
    #[arg(long)]
    bot: Option<String>,
    /// Decide for somebody who has these roles: what a bot's output has, for example.
    #[arg(long)]
    roles: Option<String>,
}

impl From<Who> for Subject {
    fn from(who: Who) -> Self {
        let user = who.user.or_else(|| who.bot.map(|bot| Bot::resource_name(&bot)));
        user.map_or_else(|| Subject::Roles(words(&who.roles.unwrap_or_default())), Subject::User)
    }
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let (kind, sub_kind, name) = resource(&args.resource)?;
    let client = session.client().await?;
    let question =
        Question { subject: args.subject.into(), verb: args.verb, kind: kind.as_str().to_owned(), sub_kind, name };
    let answer = cluster::explain(&client, question).await?;
    if args.shape.format != Format::Text {
        return session.out.value(args.shape.format, &answer);
    }
    session.out.line(format_args!("{}: {}", if answer.allowed { "ALLOWED" } else { "DENIED" }, answer.reason))?;
    let mut table = Table::new(["Role", "Side", "Rule", "Effect"]);
    for step in answer.steps {
        table.row([step.role, step.side, step.rule, step.effect]);
    }
    if table.is_empty() {
        return session.out.line("There are no roles.");
    }
    session.out.text(format_args!("\n{table}"))
}

/// Kind, sub-kind and name; a certificate authority is named by its type, and by its cluster after another slash.
fn resource(text: &str) -> anyhow::Result<(Kind, String, String)> {
    let (word, name) = text.split_once('/').unwrap_or((text, ""));
    let kind = reference::kind(word).context("--resource")?;
    if kind != Kind::CertAuthority || name.is_empty() {
        return Ok((kind, String::new(), name.to_owned()));
    }
    let (ca_type, cluster) = name.split_once('/').unwrap_or((name, ""));
    if CaType::parse(ca_type).is_none() {
        bail!(domain::Error::invalid(format!("\"{ca_type}\" is no type of authority; write cert_authority/user")));
    }
    Ok((kind, ca_type.to_owned(), cluster.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_about() {
        for (text, kind, sub_kind, name) in [
            ("role", Kind::Role, "", ""),
            ("roles/ci", Kind::Role, "", "ci"),
            ("cert_authority/user/example.com", Kind::CertAuthority, "user", "example.com"),
        ] {
            assert_eq!(resource(text).unwrap(), (kind, sub_kind.to_owned(), name.to_owned()), "{text}");
        }
        assert!(resource("rolls").is_err());
        assert!(resource("ca/usr").is_err());
    }
}
