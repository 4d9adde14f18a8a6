//! `tctl edit`: one resource in an editor, sent back only when nobody changed it meanwhile.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use cli::Advice;
use domain::{AnyResource, error::Kind as ErrorKind};

use super::{create::message, reference};
use crate::{cluster, session::Session};

/// The variables that name an editor, first to last.
const VARIABLES: [&str; 3] = ["TELEPORT_EDITOR", "VISUAL", "EDITOR"];

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl edit role/ci\n  EDITOR=nano tctl edit cap\n\n\
                        The editor is $TELEPORT_EDITOR, $VISUAL, $EDITOR or vi. Saving the file unchanged does nothing.")]
pub(crate) struct Args {
    /// `KIND/NAME`, or the kind of a cluster configuration.
    #[arg(value_name = "KIND/NAME")]
    resource: String,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let references = reference::parse(&args.resource)?;
    let [reference] = references.as_slice() else {
        bail!(cli::exit::Usage("one resource can be edited at a time".into()));
    };
    if reference.name.is_none() && !reference.kind.is_singleton() {
        bail!(cli::exit::Usage(format!("name one {0} to edit: tctl edit {0}/NAME", reference.kind)));
    }
    let client = session.client().await?;
    let mut found = cluster::get(&client, reference.kind, reference.name.as_deref(), false).await?;
    let (Some(before), true) = (found.pop(), found.is_empty()) else {
        bail!(domain::Error::invalid(format!("{} names more than one resource", args.resource)));
    };
    let text = cli::output::to_yaml(&before)?;
    let (edited, file) = edit(&text)?;
    let kept = || format!("your text is kept in {}; correct it and send it with tctl create -f", file.display());
    if edited.trim() == text.trim() {
        fs::remove_file(&file)?;
        return session.out.line("edit canceled, nothing was changed");
    }
    let after = parse(&edited, &file, &before).advise(kept)?;
    let (kind, name) = (after.kind(), after.metadata().name.clone());
    match cluster::update(&client, after).await {
        Ok(()) => fs::remove_file(&file)?,
        Err(error) if error.kind == ErrorKind::Conflict => {
            return Err(error).advise(|| {
                format!(
                    "your text is kept in {}; start tctl edit again and take your changes from there",
                    file.display()
                )
            });
        }
        Err(error) => return Err(error).advise(kept),
    }
    session.out.line(message(kind, &name, "updated"))
}

fn parse(text: &str, file: &Path, before: &AnyResource) -> anyhow::Result<AnyResource> {
    let mut documents = domain::document::read_valid_documents(text, &file.display().to_string())?;
    let (Some(after), true) = (documents.pop(), documents.is_empty()) else {
        bail!(domain::Error::invalid("the file must hold exactly one document"));
    };
    if after.kind() != before.kind() || after.metadata().name != before.metadata().name {
        bail!(domain::Error::invalid("a resource cannot be renamed; create a new one and delete the old one"));
    }
    Ok(after)
}

/// Lets the person change the text; the file stays, for the case that it cannot be sent.
fn edit(text: &str) -> anyhow::Result<(String, PathBuf)> {
    let mut file = tempfile::Builder::new().prefix("tctl-").suffix(".yaml").tempfile()?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    let (_, path) = file.keep()?;
    let editor = editor();
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program)
        .args(words)
        .arg(&path)
        .status()
        .with_context(|| format!("editor \"{editor}\" cannot be started"))
        .advise(|| "set TELEPORT_EDITOR, VISUAL or EDITOR")?;
    if !status.success() {
        fs::remove_file(&path)?;
        bail!("editor \"{editor}\" failed, nothing was changed");
    }
    Ok((fs::read_to_string(&path)?, path))
}

#[expect(clippy::disallowed_methods, reason = "a tool asks its person's environment for the editor")]
fn editor() -> String {
    VARIABLES
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
        .unwrap_or_else(|| "vi".to_owned())
}
