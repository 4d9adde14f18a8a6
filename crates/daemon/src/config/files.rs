//! Where the configuration comes from when nobody says.

use std::path::{Path, PathBuf};

use super::{Config, Error};

/// The places that are looked at, in this order.
const DEFAULT_PATHS: [&str; 2] = ["/etc/tessera.yaml", "/etc/teleport.yaml"];

/// A configuration and the file that it came from.
#[derive(Clone, Debug)]
pub struct Found {
    /// The configuration.
    pub config: Config,
    /// Its file; `None` for the embedded default.
    pub path: Option<PathBuf>,
}

/// Finds the configuration: the flag, `TELEPORT_CONFIG_FILE`, the default places, the embedded default.
///
/// # Errors
/// When a file was named and is not there, or any file found is not a valid configuration.
pub fn find(flag: Option<&Path>) -> Result<Found, Error> {
    let named = flag.map(Path::to_owned).or_else(from_environment);
    let path = named.or_else(|| DEFAULT_PATHS.iter().map(PathBuf::from).find(|path| path.exists()));
    let config = match &path {
        Some(path) => Config::load(path)?,
        None => Config::embedded(),
    };
    Ok(Found { config, path })
}

#[expect(clippy::disallowed_methods, reason = "the daemon resolves the environment for everybody below it")]
fn from_environment() -> Option<PathBuf> {
    std::env::var_os("TELEPORT_CONFIG_FILE").filter(|path| !path.is_empty()).map(PathBuf::from)
}
