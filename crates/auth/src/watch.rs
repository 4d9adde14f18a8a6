//! Changes as they happen, to whoever may read the resources.
//!
//! A watch begins at a moment: every later change of what it asked for is told, in the order of the commits. What falls
//! behind the store's ring ends, so that a slow reader holds no memory here.

mod select;

use std::{sync::Arc, time::Duration};

use clock::{Clock, Timestamp};
use domain::{AnyResource, Error, Kind, error::Kind as ErrorKind};
use rbac::AccessChecker;
use store::{ChangeEvent, Changes, Store, group_of};

pub use select::WatchKind;

use crate::{
    Auth, Caller,
    sweep::machine::{STEP, step},
};
use select::{Selector, look};

/// How many kinds one watch may ask for. A proxy asks for some forty.
const MAX_KINDS: usize = 128;

/// How many different wishes about the same kind one watch may have: each is held against every resource of the kind.
const MAX_OF_A_KIND: usize = 8;

/// How long the names and filters of one watch may be together: they are kept as long as it runs. A proxy's have some
/// hundred bytes; megabytes on each of many streams would be gigabytes.
const MAX_TEXT: usize = 16 << 10;

/// How often a watch may go through all there is to learn what it may know: whoever changes roles all the time makes every
/// watcher do so. Until it has looked it is told nothing, and so misses nothing.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A running watch.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    /// What the watcher could do when it was last asked what it may see.
    access: Arc<AccessChecker>,
    changes: Changes,
    /// Different ones, those of a kind side by side.
    selectors: Vec<Selector>,
    accepted: Vec<usize>,
    clock: Clock,
    /// When it last looked, on the clock's monotonic scale.
    looked: Option<Duration>,
    /// The wall clock and the one since boot, as they were last.
    clocks: (Timestamp, Duration),
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
    if kinds.iter().map(WatchKind::size).sum::<usize>() > MAX_TEXT {
        return Err(Error::invalid(format!(
            "kinds: names and filters of a watch are at most {MAX_TEXT} bytes together"
        )));
    }
    let (mut selectors, mut accepted, mut refused) = (Vec::new(), Vec::new(), None);
    for (index, kind) in kinds.iter().enumerate() {
        // Asked for twice, told once.
        if accepted.iter().any(|known: &usize| kinds[*known] == *kind) {
            accepted.push(index);
            continue;
        }
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
    selectors.sort_by_key(|selector: &Selector| selector.kind);
    let alike = || selectors.chunk_by(|a, b| a.kind == b.kind);
    if let Some(many) = alike().find(|alike| alike.len() > MAX_OF_A_KIND) {
        let kind = many[0].kind;
        return Err(Error::limit(format!("kinds: at most {MAX_OF_A_KIND} different of kind {kind} in one watch")));
    }
    let watched: Vec<Kind> = alike().map(|alike| alike[0].kind).collect();
    let changes = auth.store.changes(&watched, None).await?;
    let access = caller.shared_access();
    let clock = auth.clock.clone();
    let clocks = (clock.now(), clock.boot());
    let store = auth.store.clone();
    let mut watch = Watch { store, access, changes, selectors, accepted, clock, looked: None, clocks };
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
            // Every change of any role makes new checkers; most of them decide as before.
            let is_same = access.decides_like(&self.access);
            self.access = access;
            if is_same {
                return Ok(());
            }
            self.selectors.iter_mut().for_each(|selector| selector.access_changed(caller));
        }
        Ok(())
    }

    /// How many bytes it keeps, about.
    pub fn kept(&self) -> usize {
        self.selectors.iter().map(Selector::kept).sum()
    }

    /// Learns which names the watcher may know, where it may not know all: one walk for each kind.
    async fn look(&mut self, caller: &Caller) -> Result<(), Error> {
        if !self.selectors.iter().any(Selector::must_look) {
            return Ok(());
        }
        let since = self.looked.map(|looked| self.clock.monotonic().saturating_sub(looked));
        if let Some(early) = since.and_then(|since| LOOK_EVERY.checked_sub(since)) {
            self.clock.sleep(early).await;
        }
        self.looked = Some(self.clock.monotonic());
        for alike in self.selectors.chunk_by_mut(|a, b| a.kind == b.kind) {
            if alike.iter().any(Selector::must_look) {
                look(&self.store, alike, caller).await?;
            }
        }
        Ok(())
    }

    /// The next step: something to tell, or nothing but the passing of time (at least twice a second), so that the one who
    /// holds the watch can look whether the watcher is still welcome.
    ///
    /// # Errors
    /// Unavailable when changes were lost to this watcher, or the clock was set: it must read anew and watch anew.
    pub async fn next(&mut self, caller: &Caller) -> Result<Option<Told>, Error> {
        self.look(caller).await?;
        let change = self.changes.next().await;
        let (wall, boot) = std::mem::replace(&mut self.clocks, (self.clock.now(), self.clock.boot()));
        if step(wall, boot, self.clocks.0, self.clocks.1) > STEP {
            // Nothing is told of what expires; what had expired by a wrong clock, and was not read, is there again.
            return Err(Error::unavailable("the clock of the auth service was set; read anew and watch anew"));
        }
        match change {
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
