//! Keys for join method `bound_keypair`, made before the token that names them.

use std::path::{Path, PathBuf};

use crypto::{Algorithm, KeyPair, SecretString};

use crate::{
    BotError,
    config::{Acls, Destination, Directory, Symlinks},
    destination::{DestinationError, Sink},
};

/// The private key in the bot's storage.
const KEY: &str = "id_bkp";
const PUBLIC_KEY: &str = "id_bkp.pub";

/// Which key to make, and where to keep it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The bot's storage.
    pub storage: Destination,
    /// Replace a key that is there.
    pub overwrite: bool,
    /// A key for the environment or a file of its own, not for the storage.
    pub is_static: bool,
    /// The file of its own.
    pub static_key_path: Option<PathBuf>,
    /// Only algorithms that FIPS allows.
    pub fips: bool,
}

/// A key that was made.
pub struct Created {
    /// The `authorized_keys` line.
    pub public: String,
    /// PEM; only of a static key.
    pub private: Option<SecretString>,
    /// Where it was written.
    pub place: Option<String>,
}

/// Makes a key and writes it.
///
/// # Errors
/// When there is one already, or the place cannot be written.
pub fn create(request: &Request) -> Result<Created, BotError> {
    let algorithm = if request.fips { Algorithm::EcdsaP256 } else { Algorithm::Ed25519 };
    let failed = |error: crypto::KeyError| BotError::Machine(format!("cannot make a key: {error}"));
    let key = KeyPair::generate(algorithm).map_err(failed)?;
    let private = key.to_pkcs8_pem().map_err(failed)?;
    let public = key.public().to_authorized_key().trim_end().to_owned();
    let place = match (&request.static_key_path, request.is_static) {
        (Some(path), true) => Some(write_alone(path, &private, request.overwrite)?),
        (None, true) => None,
        (_, false) => Some(write_to_storage(request, &private, &public)?),
    };
    Ok(Created { public, private: request.is_static.then_some(private), place })
}

fn write_to_storage(request: &Request, private: &SecretString, public: &str) -> Result<String, BotError> {
    let sink = Sink::open(&request.storage)?;
    let Sink::Directory(directory) = &sink else {
        let message = "the key would be gone with this command: give --storage a directory, or use --static";
        return Err(DestinationError::Invalid(message.into()).into());
    };
    // Not under a bot that is running: it would go on with the key that it has read.
    let _lock = directory.lock()?;
    if sink.read(KEY)?.is_some() && !request.overwrite {
        return Err(DestinationError::Exists { place: format!("a key in {}", sink.describe()) }.into());
    }
    sink.write(KEY, private.expose().as_bytes())?;
    sink.write(PUBLIC_KEY, format!("{public}\n").as_bytes())?;
    Ok(sink.describe())
}

fn write_alone(path: &Path, private: &SecretString, overwrite: bool) -> Result<String, BotError> {
    let shown = path.display().to_string();
    let (Some(parent), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Err(DestinationError::Invalid(format!("--static-key-path: {shown:?} is no file")).into());
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let directory =
        Directory { path: parent.to_owned(), symlinks: Symlinks::default(), acls: Acls::Off, readers: Vec::new() };
    let sink = Sink::open(&Destination::Directory(directory))?;
    if path.exists() && !overwrite {
        return Err(DestinationError::Exists { place: shown }.into());
    }
    sink.write(name, private.expose().as_bytes())?;
    Ok(shown)
}
