//! `tbot keypair create`: a key for join method bound_keypair, before there is a token for it.

use std::path::PathBuf;

use base64::{Engine, engine::general_purpose::STANDARD};
use bot::{
    config::{DEFAULT_STORAGE, Destination},
    keypair::{Created, Request, create},
};
use cli::{Format, Output};
use serde_json::json;

use super::{ended, invalid};
use crate::args::Globals;

/// What can be done with keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make a key and show its public half.
    Create(Create),
}

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tbot keypair create --storage=/var/lib/teleport/bot --proxy-server=example.com:443\n  \
                        tbot keypair create --static --format=json --proxy-server=example.com:443"
)]
pub(crate) struct Create {
    /// Address of the proxy. Accepted for scripts; nothing is asked of it yet, the key is Ed25519 (with --fips: P-256).
    #[arg(long, value_name = "HOST:PORT")]
    proxy_server: Option<String>,
    /// The bot's storage: a directory or `file:///path`.
    #[arg(long, value_name = "URI", default_value = DEFAULT_STORAGE)]
    storage: String,
    /// Replace a key that is there. Whatever it was bound to needs a recovery then.
    #[arg(long, overrides_with = "no_overwrite")]
    overwrite: bool,
    #[arg(long, hide = true, overrides_with = "overwrite")]
    no_overwrite: bool,
    /// A key that is handed over as a secret instead of kept in the storage.
    #[arg(long = "static", overrides_with = "no_static")]
    is_static: bool,
    #[arg(long = "no-static", hide = true, overrides_with = "is_static")]
    no_static: bool,
    /// Write the static key to this file.
    #[arg(long, value_name = "FILE", requires = "is_static")]
    static_key_path: Option<PathBuf>,
    /// How the result is shown.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

pub(crate) fn run(command: &Command, globals: &Globals) -> anyhow::Result<()> {
    let Command::Create(args) = command;
    let storage = Destination::from_uri(&args.storage).map_err(|message| invalid(format!("--storage: {message}")))?;
    let request = Request {
        storage,
        overwrite: args.overwrite,
        is_static: args.is_static,
        static_key_path: args.static_key_path.clone(),
        fips: globals.fips,
    };
    let created = create(&request).map_err(|error| ended(&error))?;
    let private = created.private.as_ref().map(|key| STANDARD.encode(key.expose()));
    if args.format == Format::Text {
        return Output::stdout().text(describe(&created, private.as_deref()));
    }
    let mut shown = json!({ "public_key": created.public });
    if let Some(private) = private {
        shown["private_key"] = private.into();
    }
    Output::stdout().value(args.format, &shown)
}

/// What a person needs next.
fn describe(created: &Created, private: Option<&str>) -> String {
    let place = match &created.place {
        Some(place) => format!("The keypair has been written to storage: {place}\n\n"),
        None => String::new(),
    };
    let mode = if private.is_some() { "insecure" } else { "standard, limit: 1" };
    let secret = private.map_or_else(String::new, |private| {
        format!(
            "\nThe private key, for TBOT_BOUND_KEYPAIR_STATIC_KEY:\n\n  {private}\n\n\
             A static key cannot be rotated, and its token needs the recovery mode insecure: whoever has the key can join.\n"
        )
    });
    format!(
        "{place}Public key:\n\n  {public}\n\nA token for it, for tctl create -f:\n\n  kind: token\n  version: v2\n  \
         metadata: {{name: my-bot}}\n  spec:\n    roles: [Bot]\n    bot_name: my-bot\n    join_method: bound_keypair\n    \
         bound_keypair:\n      onboarding: {{initial_public_key: \"{public}\"}}\n      recovery: {{mode: {mode}}}\n\n\
         This tbot cannot join with bound_keypair yet; the key is good for a version that can.\n{secret}",
        public = created.public
    )
}
