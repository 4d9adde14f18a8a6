//! `--apply-on-startup` and `--bootstrap`: documents that the cluster shall have, whatever somebody changed meanwhile.

use std::path::{Path, PathBuf};

use audit::{
    ResourceMetadata, UserMetadata,
    events::{
        config::{AuthPreferenceUpdate, ClusterNetworkingConfigUpdate, SessionRecordingConfigUpdate},
        role::RoleUpdate,
        token::ProvisionTokenUpdate,
        user::UserUpdate,
    },
};
use auth::Auth;
use domain::{AnyResource, DocumentError, Resource, metadata::ORIGIN};

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

/// Makes or replaces every resource of a file; each is one commit with its audit event, by the server itself.
///
/// # Errors
/// When the file or one of its documents cannot be used; those before it are applied.
pub(crate) async fn apply(auth: &Auth, path: &Path) -> Result<(), Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    for document in domain::document::read_valid_documents(&text, &path.display().to_string())? {
        let (kind, name) = (document.kind(), document.metadata().name.clone());
        one(auth, document)
            .await
            .map_err(|source| Error::Apply { path: path.to_owned(), kind, name: name.clone(), source })?;
        tracing::info!(%kind, name, file = %path.display(), "applied");
    }
    Ok(())
}

async fn one(auth: &Auth, document: AnyResource) -> Result<(), domain::Error> {
    let user = UserMetadata::system(auth.host_name());
    match document {
        AnyResource::Role(role) => {
            let event = RoleUpdate { user, resource: about(&role), ..RoleUpdate::default() };
            put(auth, role, &event).await
        }
        AnyResource::User(person) => {
            let roles = person.spec.roles.clone();
            let resource = about(&person);
            let event = UserUpdate { user, resource, roles, connector: "local".to_owned(), ..UserUpdate::default() };
            put(auth, person, &event).await
        }
        AnyResource::Token(token) => {
            let resource = ResourceMetadata { name: token.safe_name(), ..about(&token) };
            let event = ProvisionTokenUpdate { user, resource, ..ProvisionTokenUpdate::default() };
            put(auth, token, &event).await
        }
        AnyResource::AuthPreference(config) => {
            put(auth, config, &AuthPreferenceUpdate { user, ..AuthPreferenceUpdate::default() }).await
        }
        AnyResource::NetworkingConfig(config) => {
            put(auth, config, &ClusterNetworkingConfigUpdate { user, ..ClusterNetworkingConfigUpdate::default() }).await
        }
        AnyResource::SessionRecordingConfig(config) => {
            put(auth, config, &SessionRecordingConfigUpdate { user, ..SessionRecordingConfigUpdate::default() }).await
        }
        other => Err(domain::Error::unsupported(format!(
            "a {} cannot be applied at start; use tctl create -f once the server runs",
            other.kind()
        ))),
    }
}

fn about(resource: &impl Resource) -> ResourceMetadata {
    let metadata = resource.metadata();
    ResourceMetadata { name: metadata.name.clone(), expires: metadata.expires, ..ResourceMetadata::default() }
}

/// Keeps a resource, unless it is there already just so: a restart must not write.
async fn put<T: store::Keyed>(auth: &Auth, mut resource: T, event: &impl audit::Event) -> Result<(), domain::Error> {
    resource.metadata_mut().labels.insert(ORIGIN.to_owned(), "config-file".to_owned());
    resource.metadata_mut().revision.clear();
    if let Some(mut stored) = auth.store().get::<T>(resource.name()).await? {
        stored.metadata_mut().revision.clear();
        if stored == resource {
            return Ok(());
        }
    }
    auth.store().change().upsert(&resource)?.event(event).commit().await.map(|_| ())
}
