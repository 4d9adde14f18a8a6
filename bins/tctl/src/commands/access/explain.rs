//! `tctl access explain`: decides as the server would, and says what each role contributed.

use std::sync::Arc;

use anyhow::{Context, bail};
use cli::{Format, Table};
use domain::{
    AnyResource, Kind, Resource,
    resources::{Role, User},
};
use rbac::{AccessChecker, Explanation, Family, Named, RoleSet, RuleContext, Verb};
use serde::Serialize;

use crate::{
    args::Shape,
    cluster::{self, Remote},
    commands::traits::words,
    session::Session,
};

/// The verb that is no verb of rules: to reach what labels guard.
const CONNECT: &str = "connect";

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl access explain --user=alice --verb=create --resource=role\n  \
                        tctl access explain --user=bot-ci --verb=read --resource=cert_authority\n  \
                        tctl access explain --roles=access --verb=connect --resource=app/grafana")]
pub(crate) struct Args {
    /// The user who wants to; `bot-NAME` for a bot.
    #[arg(long, required_unless_present = "roles")]
    user: Option<String>,
    /// Decide as if the user had these roles, or for nobody in particular.
    #[arg(long)]
    roles: Option<String>,
    /// What the user wants to do: a verb of rules (list, create, read, readnosecrets, update, delete, rotate, use), or
    /// `connect` for what labels guard.
    #[arg(long)]
    verb: String,
    /// To what: `KIND`, or `KIND/NAME`.
    #[arg(long, value_name = "KIND[/NAME]")]
    resource: String,
    #[command(flatten)]
    shape: Shape,
}

/// What programs get.
#[derive(Debug, Serialize)]
struct Answer {
    allowed: bool,
    reason: String,
    contributions: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    role: String,
    place: String,
    effect: String,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let (kind, name) = resource(&args.resource)?;
    let checker = checker(&args, session).await?;
    let found = match &name {
        Some(name) => Some(fetch(session, kind, name).await?),
        None => None,
    };
    let explanation = if args.verb == CONNECT {
        let Some(found) = &found else {
            bail!(cli::exit::Usage(format!("name what is connected to: --resource={kind}/NAME")));
        };
        checker.explain_labels(family(kind)?, &found.metadata().labels)
    } else {
        let verb = Verb::parse(&args.verb).with_context(|| {
            let verbs: Vec<&str> = Verb::ALL.iter().map(|verb| verb.as_str()).collect();
            domain::Error::invalid(format!("\"{}\" is no verb; there are {}, {CONNECT}", args.verb, verbs.join(", ")))
        })?;
        let named = found.as_ref().map(|r| Named { name: &r.metadata().name, labels: &r.metadata().labels });
        checker.explain_rule(&RuleContext { resource: named, ..RuleContext::NONE }, kind, verb)
    };
    show(session, answer(&explanation), args.shape.format)
}

fn resource(text: &str) -> anyhow::Result<(Kind, Option<String>)> {
    let (word, name) = text.split_once('/').map_or((text, None), |(word, name)| (word, Some(name.to_owned())));
    let kind =
        Kind::parse(word).with_context(|| domain::Error::invalid(format!("\"{word}\" is no kind of resource")))?;
    Ok((kind, name))
}

fn family(kind: Kind) -> anyhow::Result<Family> {
    Ok(match kind {
        Kind::App | Kind::AppServer => Family::App,
        other => bail!(domain::Error::unsupported(format!("connecting to a {other} is not supported yet"))),
    })
}

async fn checker(args: &Args, session: &mut Session) -> anyhow::Result<AccessChecker> {
    let client = session.client().await?;
    let user = match &args.user {
        Some(name) => Some(User::fetch(&client, name).await?),
        None => None,
    };
    let names = match (&args.roles, &user) {
        (Some(roles), _) => words(roles),
        (None, Some(user)) => user.spec.roles.clone(),
        (None, None) => Vec::new(),
    };
    let mut roles = Vec::new();
    for name in names {
        roles.push(Role::fetch(&client, &name).await?);
    }
    let (name, traits) = user.map_or_else(Default::default, |user| (user.name().to_owned(), user.spec.traits.clone()));
    Ok(AccessChecker::new(name, &traits, Arc::new(RoleSet::new(roles))))
}

async fn fetch(session: &mut Session, kind: Kind, name: &str) -> anyhow::Result<AnyResource> {
    let client = session.client().await?;
    let found = cluster::get(&client, kind, Some(name), false).await?;
    found.into_iter().next().with_context(|| domain::Error::not_found(format!("{kind} \"{name}\" not found")))
}

fn answer(explanation: &Explanation) -> Answer {
    let rows = explanation.contributions.iter().map(|contribution| Row {
        role: contribution.role.to_string(),
        place: contribution.place.map(|place| place.to_string()).unwrap_or_default(),
        effect: contribution.effect.to_string(),
    });
    let decision = &explanation.decision;
    Answer { allowed: decision.allowed, reason: decision.reason.to_string(), contributions: rows.collect() }
}

fn show(session: &mut Session, answer: Answer, format: Format) -> anyhow::Result<()> {
    if format != Format::Text {
        return session.out.value(format, &answer);
    }
    session.out.line(format_args!("{}: {}", if answer.allowed { "ALLOWED" } else { "DENIED" }, answer.reason))?;
    let mut table = Table::new(["Role", "Place", "Effect"]);
    for row in answer.contributions {
        table.row([row.role, row.place, row.effect]);
    }
    if table.is_empty() {
        return session.out.line("There are no roles.");
    }
    session.out.text(format_args!("\n{table}"))
}
