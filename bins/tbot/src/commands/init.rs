//! `tbot init`: prepares an output directory for the bot and its reader.

use std::path::PathBuf;

use bot::{
    Config,
    config::{Destination, Directory, Service},
    destination::{InitRequest, init},
};

use super::{ended, invalid, print, refused};
use crate::args::{Globals, Shared};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tbot init -c /etc/tbot.yaml --init-dir=/opt/machine-id --bot-user=teleport \
                        --owner=teleport:teleport --reader-user=app\n  \
                        tbot init --destination-dir=/opt/machine-id --bot-user=tbot --owner=tbot:tbot --reader-user=app")]
pub(crate) struct Args {
    #[command(flatten)]
    shared: Shared,
    /// An output directory, when there is no configuration file.
    #[arg(long, value_name = "DIR")]
    destination_dir: Option<String>,
    /// Which output to prepare, by its directory; not needed when there is only one.
    #[arg(long, value_name = "DIR")]
    init_dir: Option<PathBuf>,
    /// The user that tbot runs as.
    #[arg(long, value_name = "USER")]
    bot_user: Option<String>,
    /// The user that reads the files.
    #[arg(long, value_name = "USER")]
    reader_user: Option<String>,
    /// Who is to own the files.
    #[arg(long, value_name = "USER:GROUP")]
    owner: Option<String>,
    /// Remove files that do not belong there.
    #[arg(long)]
    clean: bool,
}

pub(crate) fn run(args: Args, globals: &Globals) -> anyhow::Result<()> {
    let mut overrides = args.shared.overrides(globals);
    if let Some(directory) = &args.destination_dir {
        let mut service = Service::new("identity").map_err(invalid)?;
        service.destination = Some(Destination::from_uri(directory).map_err(invalid)?);
        overrides.service = Some(service);
    }
    let config = Config::load(globals.config.as_deref(), overrides).map_err(refused)?;
    let (service, directory) = choose(&config, args.init_dir.as_deref())?;
    let artifacts = bot::artifacts(service);
    if artifacts.is_empty() {
        let message = format!("output type {:?} is not supported yet", service.kind.name);
        return Err(domain::Error::unsupported(message).into());
    }
    let request =
        InitRequest { bot_user: args.bot_user, reader_user: args.reader_user, owner: args.owner, clean: args.clean };
    let notes = init(directory, &artifacts, &request).map_err(|error| ended(&error.into()))?;
    let notes: String = notes.iter().map(|note| format!("{note}\n")).collect();
    print(&format!("{notes}{} is ready for tbot\n", directory.path.display()))
}

/// The output whose directory is meant.
fn choose<'a>(config: &'a Config, wanted: Option<&std::path::Path>) -> anyhow::Result<(&'a Service, &'a Directory)> {
    let directories = config.services.iter().filter_map(|service| match &service.destination {
        Some(Destination::Directory(directory)) => Some((service, directory)),
        _ => None,
    });
    let mut found: Vec<_> =
        directories.filter(|(_, directory)| wanted.is_none_or(|path| directory.path == path)).collect();
    match (found.len(), wanted) {
        (1, _) => Ok(found.remove(0)),
        (0, Some(path)) => {
            let path = path.display();
            let known = config.services.iter().filter_map(|service| match &service.destination {
                Some(Destination::Directory(directory)) => Some(directory.path.display().to_string()),
                _ => None,
            });
            let known = known.collect::<Vec<_>>().join(", ");
            Err(invalid(if known.is_empty() {
                format!("no output goes to {path}: give -c FILE, or --destination-dir={path} instead of --init-dir")
            } else {
                format!("--init-dir: no output goes to {path}; there are {known}")
            }))
        }
        (0, None) => Err(invalid("no output goes to a directory; give -c FILE or --destination-dir")),
        _ => Err(invalid("there are several outputs; say which one with --init-dir")),
    }
}
