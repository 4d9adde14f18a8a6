//! `tctl tokens add`: a token with which agents join.

use std::time::Duration;

use anyhow::{Context, bail};
use cli::Format;
use domain::{
    resources::{Token, token::TokenSpec},
    role::SystemRole,
};
use serde::Serialize;

use crate::{
    args::Shape,
    cluster::{self, Remote},
    commands::traits::{self, words},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tctl tokens add --type=node,app --ttl=1h\n  tctl tokens add --type=proxy --format=json\n\n\
                        Tokens for bots come from: tctl bots add, tctl bots instances add"
)]
pub(crate) struct Args {
    /// What may join: proxy, auth, trusted_cluster, node, db, kube, app, windowsdesktop, discovery.
    #[arg(long = "type", value_name = "TYPES")]
    types: String,
    /// How long the token can be used, such as 30m or 8h.
    #[arg(long, value_name = "SPAN", value_parser = traits::duration, default_value = "30m")]
    ttl: Duration,
    /// The token itself [default: random].
    #[arg(long)]
    value: Option<String>,
    /// Labels of the token, `key=value,…`.
    #[arg(long)]
    labels: Option<String>,
    /// Name of the application, for the join command that is shown.
    #[arg(long, requires = "app_uri")]
    app_name: Option<String>,
    /// Address of the application, for the join command that is shown.
    #[arg(long, requires = "app_name")]
    app_uri: Option<String>,
    /// Name of the database, for the join command that is shown.
    #[arg(long, requires = "db_uri")]
    db_name: Option<String>,
    /// Protocol of the database, for the join command that is shown.
    #[arg(long)]
    db_protocol: Option<String>,
    /// Address of the database, for the join command that is shown.
    #[arg(long, requires = "db_name")]
    db_uri: Option<String>,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Serialize)]
struct Made {
    token: String,
    roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<domain::Timestamp>,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let roles = roles(&args.types)?;
    let name = args.value.clone().unwrap_or_else(|| session.random.hex(16));
    let mut token = Token::new(name.clone(), TokenSpec { roles: roles.clone(), ..TokenSpec::default() });
    token.metadata.labels = traits::labels(args.labels.as_deref().unwrap_or_default()).context("--labels")?;
    token.metadata.expires = Some(session.clock.now().checked_add(args.ttl)?);
    cluster::check(&mut token)?;
    let expires = token.metadata.expires;
    let client = session.client().await?;
    Token::create(&client, token).await?;
    if args.shape.format != Format::Text {
        let roles = roles.iter().map(|role| role.as_str().to_owned()).collect();
        return session.out.value(args.shape.format, &Made { token: name, roles, expires });
    }
    let later: Vec<String> = roles
        .iter()
        .filter(|role| !matches!(role, SystemRole::Proxy | SystemRole::App))
        .map(|role| role.as_str().to_lowercase())
        .collect();
    let words: Vec<String> = roles.iter().map(|role| role.as_str().to_lowercase()).collect();
    let pins = cluster::ca_pins(&client).await?;
    // A proxy speaks to the auth service itself; agents come in through a proxy where there is one.
    let needs_auth = |role: &SystemRole| matches!(role, SystemRole::Proxy | SystemRole::Auth);
    let proxy = match roles.iter().any(needs_auth) {
        true => None,
        false => cluster::proxy_address(&client).await?,
    };
    let address = match proxy {
        Some(proxy) => proxy,
        None => cluster::auth_address(session).await?,
    };
    let served = served(&args);
    session.out.text(format_args!(
        "The invite token: {name}
This token will expire in {minutes} minutes.

Run this on the new machine to join the cluster:

> tessera start \\
   --roles={roles} \\
   --token={name} \\
   --ca-pin={pins} \\
   --auth-server={address}{served}
",
        minutes = args.ttl.as_secs().div_ceil(60),
        roles = words.join(","),
        pins = pins.join(","),
    ))?;
    if !later.is_empty() {
        session.out.line(format_args!(
            "NOTE: this part is not built yet: {}. The token is good, but tessera start refuses the role until then.",
            later.join(", ")
        ))?;
    }
    Ok(())
}

/// The flags that say what the new machine serves.
fn served(args: &Args) -> String {
    let flags = [
        ("app-name", &args.app_name),
        ("app-uri", &args.app_uri),
        ("db-name", &args.db_name),
        ("db-protocol", &args.db_protocol),
        ("db-uri", &args.db_uri),
    ];
    let flags = flags.into_iter().filter_map(|(flag, value)| Some(format!(" \\\n   --{flag}={}", value.as_ref()?)));
    flags.collect()
}

fn roles(text: &str) -> anyhow::Result<Vec<SystemRole>> {
    let mut roles = Vec::new();
    for word in words(text) {
        match SystemRole::parse(&word) {
            Some(SystemRole::Bot) => bail!(domain::Error::invalid(
                "a token for a bot names the bot: use tctl bots add, or tctl bots instances add"
            )),
            Some(role) => roles.push(role),
            None => bail!(domain::Error::invalid(format!(
                "--type: \"{word}\" cannot join; there are proxy, auth, trusted_cluster, node, db, kube, app, windowsdesktop, discovery"
            ))),
        }
    }
    Ok(roles)
}
