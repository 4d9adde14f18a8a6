//! `tctl auth crl`: who must not be let in any more, in the form that other programs read. The server makes the list
//! from the locks in force and the certificates that it has issued.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::ValueEnum;

use super::sign::write_file;
use crate::{cluster, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl auth crl --type=user --format=krl --out=/etc/ssh/revoked\n  \
                        tctl auth crl --type=user --format=crl --out=user.crl\n\n\
                        krl: an OpenSSH key revocation list for RevokedKeys in sshd_config. crl: X.509, PEM. Write it \
                        again after each lock.")]
pub(crate) struct Args {
    /// Which authority: user, host, db, db_client, spiffe …
    #[arg(long = "type", default_value = "user")]
    ca: String,
    /// In which form.
    #[arg(long, default_value = "krl")]
    format: ListFormat,
    /// Where to; standard output when left out. An existing file is replaced.
    #[arg(long, short)]
    out: Option<PathBuf>,
}

/// The form of a revocation list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    Krl,
    Crl,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    if args.out.is_none() && args.format == ListFormat::Krl && std::io::stdout().is_terminal() {
        bail!(cli::exit::Usage("a krl is binary and not for a terminal: add --out=FILE, or --format=crl".into()));
    }
    let client = session.client().await?;
    let list = match args.format {
        ListFormat::Krl => cluster::revocation_lists(&client, &args.ca, "krl").await?.concat(),
        ListFormat::Crl => {
            let lists = cluster::revocation_lists(&client, &args.ca, "crl").await?;
            lists.iter().map(|der| crypto::key::encode_pem("X509 CRL", der)).collect::<String>().into_bytes()
        }
    };
    if list.is_empty() {
        bail!(domain::Error::not_found(format!("the authority \"{}\" has no revocation list of this form", args.ca)));
    }
    match &args.out {
        Some(path) => {
            replace(path, &list)?;
            session.out.line(format_args!("The revocation list has been written to {}", path.display()))
        }
        None => session.out.bytes(&list),
    }
}

/// Puts the list in place whole: a server that reads half a list lets nobody in.
fn replace(path: &Path, list: &[u8]) -> anyhow::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    write_file(&temporary, list, 0o644, true)?;
    std::fs::rename(&temporary, path).with_context(|| format!("{} cannot be written", path.display()))
}
