//! Changes as they happen, to whoever may read the resources.
//!
//! A watch begins at a moment: every later change of what it asked for is told, in the order of the commits. What falls
//! behind the store's ring ends, so that a slow reader holds no memory here.

mod select;

use std::sync::Arc;

use domain::{AnyResource, Error, Kind, error::Kind as ErrorKind};
use rbac::AccessChecker;
use store::{ChangeEvent, Changes, Store, group_of};

pub use select::WatchKind;

use crate::{Auth, Caller};
use select::Selector;

/// How many kinds one watch may ask for. A proxy asks for some forty.
const MAX_KINDS: usize = 128;

/// A running watch.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    /// What the watcher could do when it was last asked what it may see.
    access: Arc<AccessChecker>,
    changes: Changes,
    selectors: Vec<Selector>,
    accepted: Vec<usize>,
}

/// What a watcher is told.
#[derive(Debug, Clone)]
pub enum Told {
    /// A resource was made or changed. It carries no secret that the watcher may not have.
    Put(Arc<AnyResource>),
    /// A resource is gone.
    Delete {
        /// Its kind.
        kind: Kind,
        /// The type of an authority; empty for all others.
        sub_kind: String,
        /// Its name.
        name: String,
    },
}

/// Begins a watch. With `partial`, kinds that are refused are left out; without it one of them refuses the watch.
///
/// # Errors
/// Denied; unsupported for a kind that cannot be watched; invalid; limit.
pub async fn open(auth: &Auth, caller: &Caller, kinds: &[WatchKind], partial: bool) -> Result<Watch, Error> {
    if kinds.is_empty() {
        return Err(Error::invalid("kinds: a watch needs at least one kind"));
    }
    if kinds.len() > MAX_KINDS {
        return Err(Error::limit(format!("kinds: at most {MAX_KINDS} in one watch, found {}", kinds.len())));
    }
    let (mut selectors, mut accepted, mut refused) = (Vec::new(), Vec::new(), None);
    for (index, kind) in kinds.iter().enumerate() {
        match Selector::new(auth, caller, kind) {
            Ok(selector) => {
                selectors.push(selector);
                accepted.push(index);
            }
            Err(error) if partial => refused = Some(error),
            Err(error) => return Err(error),
        }
    }
    if let (true, Some(error)) = (selectors.is_empty(), refused) {
        return Err(error);
    }
    let mut watched: Vec<Kind> = selectors.iter().map(|selector| selector.kind).collect();
    watched.sort_unstable();
    watched.dedup();
    let changes = auth.store.changes(&watched, None).await?;
    let access = caller.shared_access();
    let mut watch = Watch { store: auth.store.clone(), access, changes, selectors, accepted };
    // After the watch has begun: what is made in between is told, and what is removed in between too.
    watch.look(caller).await?;
    Ok(watch)
}

impl Watch {
    /// Which of the kinds that were asked for are watched, by their index.
    pub fn accepted(&self) -> &[usize] {
        &self.accepted
    }

    /// Asks again whether the caller may watch all this; to be called when its roles may have changed.
    ///
    /// # Errors
    /// Denied.
    pub fn recheck(&mut self, auth: &Auth, caller: &Caller) -> Result<(), Error> {
        self.selectors.iter().try_for_each(|selector| selector.permit(auth, caller))?;
        let access = caller.shared_access();
        if !Arc::ptr_eq(&access, &self.access) {
            self.access = access;
            self.selectors.iter_mut().for_each(|selector| selector.access_changed(caller));
        }
        Ok(())
    }

    /// Learns which names the watcher may know, where it may not know all.
    async fn look(&mut self, caller: &Caller) -> Result<(), Error> {
        for selector in &mut self.selectors {
            selector.look(&self.store, caller).await?;
        }
        Ok(())
    }

    /// The next step: something to tell, or nothing but the passing of time (at least twice a second), so that the one who
    /// holds the watch can look whether the watcher is still welcome.
    ///
    /// # Errors
    /// Unavailable when changes were lost to this watcher: it must read anew and watch anew.
    pub async fn next(&mut self, caller: &Caller) -> Result<Option<Told>, Error> {
        self.look(caller).await?;
        match self.changes.next().await {
            Ok(ChangeEvent::Put { resource, .. }) => Ok(self.put(caller, resource)),
            Ok(ChangeEvent::Delete { kind, group, name, .. }) => {
                let mut is_wanted = false;
                for selector in &mut self.selectors {
                    is_wanted |= selector.wants_deleted(kind, &group, &name);
                }
                Ok(is_wanted.then(|| deleted(kind, group, name)))
            }
            Ok(ChangeEvent::Progress(_)) => Ok(None),
            Ok(ChangeEvent::Resync) => Err(Error::new(
                ErrorKind::Unavailable,
                "the watcher was too slow and changes were lost to it; read anew and watch anew",
            )),
            Err(error) => Err(error),
        }
    }

    /// What a watcher is told of a resource that was stored; that it is gone, when its labels hide it from now on.
    fn put(&mut self, caller: &Caller, resource: Arc<AnyResource>) -> Option<Told> {
        let mut told = None;
        let mut is_lost = false;
        for selector in &mut self.selectors {
            if selector.wants(caller, &resource) {
                selector.note(&resource);
                told = told.or_else(|| Some(Told::Put(selector.shown(Arc::clone(&resource)))));
            } else {
                is_lost |= selector.forget(&resource);
            }
        }
        let group = group_of(&resource);
        let name = &resource.metadata().name;
        told.or_else(|| is_lost.then(|| deleted(resource.kind(), group.to_owned(), name.clone())))
    }
}

fn deleted(kind: Kind, group: String, name: String) -> Told {
    let sub_kind = if kind == Kind::CertAuthority { group } else { String::new() };
    Told::Delete { kind, sub_kind, name }
}
