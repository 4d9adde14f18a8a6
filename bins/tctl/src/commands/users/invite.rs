//! Links with which a person sets credentials.

use std::time::Duration;

use anyhow::bail;
use cli::Format;
use domain::form::duration;
use serde::Serialize;

use crate::{cluster, session::Session};

/// What the link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Invite,
    Reset,
}

#[derive(Serialize)]
struct Link<'a> {
    user: &'a str,
    token: &'a str,
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<domain::Timestamp>,
}

/// Refuses a validity that is zero or longer than allowed.
pub(super) fn check(ttl: Duration, limit: Duration) -> anyhow::Result<()> {
    if ttl.is_zero() || ttl > limit {
        let (ttl, limit) = (duration::format(ttl), duration::format(limit));
        bail!(domain::Error::invalid(format!("--ttl must be between 1s and {limit}, found {ttl}")));
    }
    Ok(())
}

/// Has the server make a link, and shows it.
pub(super) async fn make(
    session: &mut Session,
    user: &str,
    ttl: Duration,
    purpose: Purpose,
    format: Format,
) -> anyhow::Result<()> {
    let client = session.client().await?;
    let word = if purpose == Purpose::Invite { "invite" } else { "reset" };
    let token = cluster::credentials_token(&client, user, ttl, purpose == Purpose::Invite).await?;
    let host = cluster::proxy_address(&client).await?.unwrap_or_else(|| "<proxyhost>:3080".to_owned());
    let url = if token.url.is_empty() { format!("https://{host}/web/{word}/{}", token.name) } else { token.url };
    if format != Format::Text {
        return session.out.value(format, &Link { user, token: &token.name, url: &url, expires: token.expires });
    }
    let validity = duration::format(ttl);
    match purpose {
        Purpose::Invite => session.out.line(format_args!(
            "User \"{user}\" has been created but requires a password. Share this URL with the user to complete user \
             setup, link is valid for {validity}:\n{url}\n"
        ))?,
        Purpose::Reset => session.out.line(format_args!(
            "User \"{user}\" has been reset. Share this URL with the user to complete password reset, link is valid \
             for {validity}:\n{url}\n"
        ))?,
    }
    session.out.line(
        "NOTE: the proxy's page behind this link cannot set a password yet; make certificates with tctl auth sign.",
    )
}
