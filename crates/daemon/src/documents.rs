//! `--apply-on-startup` and `--bootstrap`: documents that the cluster shall have, whatever somebody changed meanwhile.

use std::path::{Path, PathBuf};

use auth::{Auth, Presented};
use domain::{AnyResource, DocumentError, metadata::ORIGIN};

/// Why the documents were not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A document in it is wrong.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// One of them cannot be kept.
    #[error("{kind} \"{name}\" of {} cannot be applied", path.display())]
    Apply {
        /// The file.
        path: PathBuf,
        /// The document's kind.
        kind: domain::Kind,
        /// Its name.
        name: String,
        /// Why.
        source: domain::Error,
    },
}

/// The documents of a file.
pub(crate) struct Documents {
    path: PathBuf,
    all: Vec<AnyResource>,
}

impl Documents {
    /// Reads a file.
    ///
    /// # Errors
    /// When the file or one of its documents cannot be used.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let all = domain::document::read_valid_documents(&text, &path.display().to_string())?;
        Ok(Self { path: path.to_owned(), all })
    }

    /// Makes or replaces every one of them; each is one commit with its audit event, by the server itself.
    ///
    /// # Errors
    /// When one cannot be kept; those before it are applied.
    pub(crate) async fn apply(self, auth: &Auth) -> Result<(), Error> {
        let Self { path, all } = self;
        for document in all {
            let (kind, name) = (document.kind(), document.metadata().name.clone());
            Box::pin(one(auth, document)).await.map_err(|source| Error::Apply {
                path: path.clone(),
                kind,
                name: name.clone(),
                source,
            })?;
            tracing::info!(%kind, name, file = %path.display(), "applied");
        }
        Ok(())
    }
}

/// Through the same operations as an administrator's call, so that each is checked and leaves its audit event.
async fn one(auth: &Auth, document: AnyResource) -> Result<(), domain::Error> {
    let caller = auth.authenticate(&Presented::LocalAdmin, "local")?;
    match document {
        AnyResource::Role(role) => match changed(auth, role).await? {
            Some(role) => Box::pin(auth::roles::upsert(auth, &caller, role)).await.map(drop),
            None => Ok(()),
        },
        AnyResource::Token(token) => match changed(auth, token).await? {
            Some(token) => auth::tokens::upsert(auth, &caller, token).await.map(drop),
            None => Ok(()),
        },
        AnyResource::AuthPreference(config) => match changed(auth, config).await? {
            Some(config) => auth::cluster_config::upsert::upsert(auth, &caller, config).await.map(drop),
            None => Ok(()),
        },
        AnyResource::NetworkingConfig(config) => match changed(auth, config).await? {
            Some(config) => auth::cluster_config::upsert::upsert(auth, &caller, config).await.map(drop),
            None => Ok(()),
        },
        AnyResource::SessionRecordingConfig(config) => match changed(auth, config).await? {
            Some(config) => auth::cluster_config::upsert::upsert(auth, &caller, config).await.map(drop),
            None => Ok(()),
        },
        AnyResource::User(user) => auth::users::upsert(auth, &caller, user).await.map(drop),
        AnyResource::Bot(bot) => auth::bots::upsert(auth, &caller, bot).await.map(drop),
        other => Err(domain::Error::unsupported(format!(
            "a {} cannot be applied at start; use tctl create -f once the server runs",
            other.kind()
        ))),
    }
}

/// The resource as it shall be, unless it is there just so already: a restart must not write.
async fn changed<T: store::Keyed>(auth: &Auth, mut resource: T) -> Result<Option<T>, domain::Error> {
    resource.metadata_mut().labels.entry(ORIGIN.to_owned()).or_insert_with(|| "config-file".to_owned());
    resource.metadata_mut().revision.clear();
    let Some(mut stored) = auth.store().get::<T>(resource.name()).await? else { return Ok(Some(resource)) };
    stored.metadata_mut().revision.clear();
    Ok((stored != resource).then_some(resource))
}
