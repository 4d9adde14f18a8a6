//! Tokens that join a bot, and how a person is told about them.

use std::time::Duration;

use anyhow::bail;
use cli::{Advice, Format};
use client::Client;
use domain::{
    Resource,
    resources::{Bot, Token, token::TokenSpec},
    role::SystemRole,
};
use serde::Serialize;

use crate::{
    cluster::{self, Remote},
    session::Session,
};

/// What programs get; the names are those of the official tool.
#[derive(Serialize)]
struct Joining<'a> {
    user_name: &'a str,
    role_name: &'a str,
    token_id: &'a str,
    /// Nanoseconds, as the official tool writes it.
    token_ttl: u64,
}

/// Checks that a token exists and joins this bot.
pub(super) async fn check(client: &Client, token: &str, bot: &str) -> anyhow::Result<()> {
    let found = Token::fetch(client, token).await.advise(|| "create it first: tctl create token.yaml")?;
    if !found.is_for_bot() || found.spec.bot_name != bot {
        bail!(domain::Error::invalid(format!(
            "token \"{token}\" does not join bot \"{bot}\": it needs roles [Bot] and bot_name {bot}"
        )));
    }
    Ok(())
}

/// Makes a one-time token for a bot.
pub(super) async fn create(
    session: &mut Session,
    bot: &str,
    name: Option<String>,
    ttl: Duration,
) -> anyhow::Result<String> {
    let client = session.client().await?;
    let name = name.unwrap_or_else(|| session.random.hex(16));
    let spec = TokenSpec { roles: vec![SystemRole::Bot], bot_name: bot.to_owned(), ..TokenSpec::default() };
    let mut token = Token::new(name.clone(), spec);
    token.metadata.expires = Some(session.clock.now().checked_add(ttl)?);
    cluster::check(&mut token)?;
    Token::create(&client, token).await?;
    Ok(name)
}

/// Tells how to join with a token.
pub(super) async fn show(
    session: &mut Session,
    bot: &Bot,
    token: &str,
    ttl: Option<Duration>,
    format: Format,
) -> anyhow::Result<()> {
    if format != Format::Text {
        let nanoseconds = u64::try_from(ttl.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
        let name = Bot::resource_name(bot.name());
        let joining = Joining { user_name: &name, role_name: &name, token_id: token, token_ttl: nanoseconds };
        return session.out.value(format, &joining);
    }
    let client = session.client().await?;
    let pins = cluster::ca_pins(&client).await?;
    let (entry, advice) = match cluster::proxy_address(&client).await? {
        Some(proxy) => (format!("--proxy-server={proxy}"), "proxy"),
        None => (format!("--auth-server={}", cluster::auth_address(session).await?), "auth service"),
    };
    let expiry = match ttl {
        Some(ttl) => format!("This token will expire in {} minutes and can be used once.", ttl.as_secs().div_ceil(60)),
        None => "The token is your own; see tctl get token for its rules.".to_owned(),
    };
    let pins: Vec<String> = pins.iter().map(|pin| format!("--ca-pin={pin}")).collect();
    session.out.text(format_args!(
        "The bot token: {token}
{expiry}

Start the bot on its machine:

> tbot start identity \\
   --token={token} \\
   {pins} \\
   {entry} \\
   --storage=/var/lib/teleport/bot \\
   --destination=/opt/machine-id

If another user reads the destination, prepare it first, and add --reader-user=USER to tbot start:

> tbot init --destination-dir=/opt/machine-id --bot-user=tbot --owner=tbot:tbot --reader-user=USER

Name an address of this cluster's {advice} that the bot's machine can reach.
",
        pins = pins.join(" \\\n   "),
    ))
}
