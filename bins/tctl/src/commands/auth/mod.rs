//! `tctl auth`: the certificate authorities.

mod crl;
mod export;
mod ls;
mod sign;

use crate::session::Session;
use cli::later::{self, Rest};

/// What can be done with authorities.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:\n  tctl auth export --type=user\n  tctl auth sign --user=alice --out=alice.pem")]
pub(crate) enum Command {
    /// Print public keys and certificates of an authority.
    Export(export::Args),
    /// Sign a certificate for a user or a host and write it to files.
    Sign(sign::Args),
    /// Show the auth server that answers.
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Write a revocation list.
    Crl(crl::Args),
    /// Rotate an authority (not supported yet).
    #[command(hide = true)]
    Rotate(Rest),
}

pub(crate) async fn run(command: Command, session: &mut Session) -> anyhow::Result<()> {
    match command {
        Command::Export(args) => export::run(args, session).await,
        Command::Sign(args) => sign::run(args, session).await,
        Command::Ls(args) => ls::run(args, session).await,
        Command::Crl(args) => crl::run(args, session).await,
        Command::Rotate(_) => later::unsupported("tctl auth rotate"),
    }
}
