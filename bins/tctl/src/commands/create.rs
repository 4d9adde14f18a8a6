//! `tctl create`: resources from documents.

use std::{io::Read, path::PathBuf};

use anyhow::{Context, bail};
use cli::Advice;
use domain::{Kind, error::Kind as ErrorKind, metadata::ORIGIN};

use crate::{cluster, session::Session};

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
    let documents = domain::document::read_valid_documents(&text, &name)?;
    if documents.is_empty() {
        bail!(domain::Error::invalid(format!("{name} holds no document")));
    }
    let client = session.client().await?;
    for document in documents {
        let (kind, name) = (document.kind(), document.metadata().name.clone());
        let verb = if kind.is_singleton() {
            let is_from_file = document.metadata().label(ORIGIN) == "config-file";
            match cluster::upsert(&client, document).await {
                // What `get all` wrote: the server's file says it, here too, and the documents after it are wanted.
                Err(error) if is_from_file && error.kind == ErrorKind::Invalid => {
                    cli::warn(format_args!("{kind} is left as it is: {error}"));
                    continue;
                }
                outcome => outcome?,
            }
            "updated"
        } else {
            match cluster::create(&client, document.clone()).await {
                Ok(()) => "created",
                Err(error) if error.kind == ErrorKind::AlreadyExists && args.force => {
                    cluster::upsert(&client, document).await?;
                    "updated"
                }
                Err(error) if error.kind == ErrorKind::AlreadyExists => {
                    return Err(error).advise(|| "replace it with tctl create -f, or change it with tctl edit");
                }
                Err(error) => return Err(error.into()),
            }
        };
        session.out.line(message(kind, &name, verb))?;
    }
    Ok(())
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
