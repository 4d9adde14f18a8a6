//! The directory with certificates: `~/.tsh/keys/<proxy>/<user>-app/<cluster>/<app>.crt` and `.key`.

use std::{
    fs::{self, DirBuilder},
    io::Write,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::Context;
use client::Web;
use clock::Clock;
use domain::{Error, identity::Identity};

use crate::args::Globals;

/// Where the certificates of one person at one proxy lie.
pub(crate) struct Home {
    keys: PathBuf,
    apps: PathBuf,
    cluster: String,
}

/// The files of one application.
pub(crate) struct AppFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) authorities: PathBuf,
}

impl Home {
    #[allow(clippy::disallowed_methods, reason = "a tool reads the environment of the person who runs it")]
    pub(crate) fn new(globals: &Globals, proxy: &str, says: &Identity) -> anyhow::Result<Self> {
        let home = match &globals.home {
            Some(home) => home.clone(),
            None => Path::new(&std::env::var("HOME").context("HOME is not set; name a directory with TELEPORT_HOME")?)
                .join(".tsh"),
        };
        let web = Web::new(proxy, client::Proxies::default(), Clock::system());
        for part in [web.host(), &says.username, &says.teleport_cluster] {
            if part.is_empty() || part.contains('/') || part.starts_with('.') {
                return Err(Error::invalid(format!("{part:?} cannot be the name of a directory")).into());
            }
        }
        let keys = home.join("keys").join(web.host());
        let apps = keys.join(format!("{}-app", says.username)).join(&says.teleport_cluster);
        Ok(Self { keys, apps, cluster: says.teleport_cluster.clone() })
    }

    /// The identity's cluster.
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Where the files of an application are, or would be.
    pub(crate) fn app(&self, name: &str) -> AppFiles {
        AppFiles {
            certificate: self.apps.join(format!("{name}.crt")),
            key: self.apps.join(format!("{name}.key")),
            authorities: self.keys.join("cas").join(format!("{}.pem", self.cluster)),
        }
    }

    /// The applications with a certificate, in order.
    pub(crate) fn logged_in(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.apps).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".crt")?.to_owned()));
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

impl AppFiles {
    pub(crate) fn write(&self, certificate: &str, key: &str, authorities: &str) -> anyhow::Result<()> {
        for (path, text) in [(&self.authorities, authorities), (&self.key, key), (&self.certificate, certificate)] {
            write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Removes certificate and key; what is not there needs no removal.
    pub(crate) fn remove(&self) {
        // The certificate last: as long as it is there, there is something to remove.
        let _ = fs::remove_file(&self.key);
        let _ = fs::remove_file(&self.certificate);
    }
}

/// A file for its owner only, whole or not at all.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let parent = path.parent().context("the path has no directory")?;
    DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
