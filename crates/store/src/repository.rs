//! Reading resources of one kind.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use domain::{Error, Resource, Stored};
use storage::{Backend, Item, Revision};

use crate::error::{from_storage, not_found};
use crate::keyed::{Keyed, key_of};
use crate::list::{self, ListRequest, Page};

/// All resources of one kind. Reads go to storage, never to a cache. Cheap to clone.
pub struct Repository<T> {
    backend: Arc<dyn Backend>,
    kind: PhantomData<fn() -> T>,
}

impl<T: Keyed> Repository<T> {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, kind: PhantomData }
    }

    /// The resource of this name, with its revision filled in; `None` if there is none or it has expired.
    ///
    /// # Errors
    /// When the back end fails or holds something unreadable.
    pub async fn get(&self, name: &str) -> Result<Option<T>, Error> {
        self.get_in("", name).await
    }

    /// The same for a kind with groups, such as an authority's type or an instance's bot.
    ///
    /// # Errors
    /// As for [`Repository::get`].
    pub async fn get_in(&self, group: &str, name: &str) -> Result<Option<T>, Error> {
        Ok(self.stored_in(group, name).await?.map(|stored| stored.value))
    }

    /// The same, with what a newer version wrote and this one does not know: for [`crate::Change::replace`].
    ///
    /// # Errors
    /// As for [`Repository::get`].
    pub async fn stored_in(&self, group: &str, name: &str) -> Result<Option<Stored<T>>, Error> {
        let item = self.backend.get(&key_of::<T>(group, name)).await.map_err(from_storage)?;
        item.map(|item| decode(&item)).transpose()
    }

    /// The resource of this name.
    ///
    /// # Errors
    /// Not found, naming it; otherwise as for [`Repository::get`].
    pub async fn fetch(&self, name: &str) -> Result<T, Error> {
        self.get(name).await?.ok_or_else(|| not_found(T::KIND, name))
    }

    /// The resource of this group and name.
    ///
    /// # Errors
    /// As for [`Repository::fetch`].
    pub async fn fetch_in(&self, group: &str, name: &str) -> Result<T, Error> {
        self.get_in(group, name).await?.ok_or_else(|| not_found(T::KIND, name))
    }

    /// One page of the resources that pass `filter`, in the order of their keys.
    ///
    /// # Errors
    /// Invalid when the token belongs to another list, limit when a filter finds nothing for too long, otherwise as
    /// for [`Repository::get`].
    pub async fn list(&self, request: &ListRequest<'_>, filter: impl Fn(&T) -> bool + Send) -> Result<Page<T>, Error> {
        list::list(&self.backend, request, filter).await
    }

    /// All of them; for kinds of which there are few.
    ///
    /// # Errors
    /// As for [`Repository::get`].
    pub async fn all(&self) -> Result<Vec<T>, Error> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.list(&ListRequest::page(0, &token), |_| true).await?;
            all.extend(page.items);
            if page.next_page_token.is_empty() {
                return Ok(all);
            }
            token = page.next_page_token;
        }
    }
}

impl<T> Clone for Repository<T> {
    fn clone(&self) -> Self {
        Self { backend: self.backend.clone(), kind: PhantomData }
    }
}

impl<T: Resource> fmt::Debug for Repository<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({})", T::KIND)
    }
}

/// Reads what is stored, and fills in the revision.
pub(crate) fn decode<T: Keyed>(item: &Item) -> Result<Stored<T>, Error> {
    decode_value(&item.value, item.revision)
}

/// The same for somebody who kept only these two.
pub(crate) fn decode_value<T: Keyed>(value: &[u8], revision: Revision) -> Result<Stored<T>, Error> {
    let mut stored = Stored::<T>::decode(value).map_err(|error| {
        tracing::error!(kind = %T::KIND, %error, "a stored resource cannot be read");
        Error::internal(format!("a stored {} cannot be read: {error}", T::KIND))
    })?;
    stored.value.metadata_mut().revision = revision_text(revision);
    Ok(stored)
}

/// A revision as documents and messages carry it.
pub fn revision_text(revision: Revision) -> String {
    revision.to_string()
}
