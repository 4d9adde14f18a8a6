//! `tctl create`: resources from documents.

use std::{
    io::{Read, Write},
    path::PathBuf,
};

use anyhow::Context;
use cli::Advice;
use client::Client;
use domain::{
    AnyResource, DocumentError, Kind,
    error::Kind as ErrorKind,
    metadata::{BOT, ORIGIN},
};

use crate::{cluster, session::Session};

/// How many faults of one text are shown: a whole cluster may have thousands of one kind.
const SHOWN: usize = 50;

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tctl create role.yaml\n  tctl create -f cluster.yaml\n  tctl get role/ci | tctl create -f"
)]
pub(crate) struct Args {
    /// Replace what exists already.
    #[arg(short, long)]
    force: bool,
    /// YAML or JSON documents; standard input when left out or `-`.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let (text, name) = read(args.file)?;
    let documents = domain::document::read_located_documents(&text, &name).map_err(all)?;
    let client = session.client().await?;
    for (index, (line, document)) in documents.into_iter().enumerate() {
        let (kind, shown) = (document.kind(), shown_name(&document));
        if let Some(bot) = derived_from(&document) {
            cli::warn(format_args!(
                "{kind} \"{shown}\" is skipped: it belongs to the bot \"{bot}\" and is made with it"
            ));
            continue;
        }
        warn_of_words(&document);
        let stored = store(&client, document, args.force).await;
        let stored = stored.with_context(|| format!("{name}:{line} (document {}, {kind} \"{shown}\")", index + 1));
        let verb = match stored {
            Err(failure) if index > 0 => {
                return Err(failure)
                    .advise(|| "the documents before it are stored; put it right, then: tctl create -f");
            }
            stored => stored?,
        };
        if let Some(verb) = verb {
            session.out.line(message(kind, &shown, verb))?;
        }
    }
    Ok(())
}

/// Stores one document and says what became of it; nothing when it is left as it is.
async fn store(client: &Client, document: AnyResource, force: bool) -> anyhow::Result<Option<&'static str>> {
    let kind = document.kind();
    if kind.is_singleton() {
        let is_from_file = document.metadata().label(ORIGIN) == "config-file";
        return match cluster::upsert(client, document).await {
            // What `get all` wrote: the server's file says it, here too, and the documents after it are wanted.
            Err(error) if is_from_file && error.kind == ErrorKind::Invalid => {
                cli::warn(format_args!("{kind} is left as it is: {error}"));
                Ok(None)
            }
            outcome => Ok(outcome.map(|()| Some("updated"))?),
        };
    }
    match cluster::create(client, document.clone()).await {
        Err(error) if error.kind == ErrorKind::AlreadyExists && force => {
            Ok(cluster::upsert(client, document).await.map(|()| Some("updated"))?)
        }
        Err(error) if error.kind == ErrorKind::AlreadyExists => {
            Err(error).advise(|| "replace it with tctl create -f, or change it with tctl edit")
        }
        outcome => Ok(outcome.map(|()| Some("created"))?),
    }
}

/// All faults of a text: the others are shown at once, one ends the run. That is one which is wrong, if there is any, and
/// not only not supported: the exit code is for the whole text.
fn all(mut faults: Vec<DocumentError>) -> anyhow::Error {
    let last = faults.iter().rposition(|fault| !fault.is_unsupported).unwrap_or(faults.len() - 1);
    let last = faults.remove(last);
    for fault in faults.iter().take(SHOWN) {
        // Nothing is left to be told to somebody whose standard error is gone.
        let _ = writeln!(std::io::stderr(), "ERROR: {fault}");
    }
    if faults.len() > SHOWN {
        cli::warn(format_args!("{} more documents cannot be read", faults.len() - SHOWN));
    }
    last.into()
}

/// A rule may name any word, for kinds that are yet to come; a slip in one gives or forbids nothing, silently.
fn warn_of_words(document: &AnyResource) {
    let AnyResource::Role(role) = document else { return };
    let rules = role.spec.allow.rules.iter().chain(&role.spec.deny.rules);
    for word in rules.flat_map(|rule| &rule.resources).filter(|word| *word != "*" && Kind::parse(word).is_none()) {
        cli::warn(format_args!(
            "role \"{}\": a rule names the resource \"{word}\", and no kind here has that name",
            role.metadata.name
        ));
    }
}

/// The bot whose user or role a document is. The server makes both with the bot and takes them from nobody else.
fn derived_from(document: &AnyResource) -> Option<&str> {
    let bot = document.metadata().label(BOT);
    let derives = matches!(document.kind(), Kind::Role | Kind::User) && !bot.is_empty();
    (derives && document.metadata().name.strip_prefix("bot-") == Some(bot)).then_some(bot)
}

/// The name as it may stand in the log of a script: that of a token may be the secret.
fn shown_name(document: &AnyResource) -> String {
    match document {
        AnyResource::Token(token) => token.safe_name(),
        other => other.metadata().name.clone(),
    }
}

fn read(file: Option<PathBuf>) -> anyhow::Result<(String, String)> {
    match file.filter(|path| path.as_os_str() != "-") {
        Some(path) => {
            let name = path.display().to_string();
            Ok((
                std::fs::read_to_string(&path)
                    .with_context(|| format!("{name} cannot be read"))
                    .map_err(cli::exit::invalid_input)?,
                name,
            ))
        }
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
            Ok((text, "standard input".to_owned()))
        }
    }
}

/// The sentence that scripts look for.
pub(crate) fn message(kind: Kind, name: &str, verb: &str) -> String {
    match kind {
        Kind::Role | Kind::User => format!("{kind} '{name}' has been {verb}"),
        kind if kind.is_singleton() => format!("{} has been {verb}", kind.as_str().replace('_', " ")),
        kind => format!("{kind} \"{name}\" has been {verb}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_sentences() {
        assert_eq!(message(Kind::Role, "ci", "created"), "role 'ci' has been created");
        assert_eq!(message(Kind::Token, "t", "created"), "token \"t\" has been created");
        assert_eq!(message(Kind::AuthPreference, "", "updated"), "cluster auth preference has been updated");
    }
}
