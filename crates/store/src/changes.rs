//! The typed change stream: what happened to resources, for any set of kinds, in commit order.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use domain::resources::{
    App, AppServer, AuditConfig, AuthPreference, Bot, BotInstance, CertAuthority, ClusterName, Lock, NetworkingConfig,
    Role, SessionRecordingConfig, Token, User,
};
use domain::{AnyResource, Error, Kind};
use storage::{Cursor, Item, Key, Prefix, Revision, WatchEvent, Watcher};

use crate::Store;
use crate::error::from_storage;
use crate::repository::decode;

/// How many decoded resources are remembered, so that a thousand watchers of one change decode it once.
const REMEMBERED: usize = 512;

/// What a follower of changes is told.
#[derive(Debug, Clone)]
pub enum ChangeEvent {
    /// A resource was stored. All followers share it.
    Put {
        /// The resource, with its revision.
        resource: Arc<AnyResource>,
        /// Where in the change stream.
        cursor: Cursor,
    },
    /// A resource was removed.
    Delete {
        /// Its kind.
        kind: Kind,
        /// Its group, empty for most kinds (see [`crate::Keyed`]).
        group: String,
        /// Its name.
        name: String,
        /// Where in the change stream.
        cursor: Cursor,
    },
    /// Everything up to here has been told; comes at least every 500 ms.
    Progress(Cursor),
    /// Changes were lost to this follower: read anew, follow anew.
    Resync,
}

/// Follows changes of some kinds. Its backlog is the back end's ring: a slow follower is told [`ChangeEvent::Resync`].
#[derive(Debug)]
pub struct Changes {
    watcher: Watcher,
    kinds: Vec<Kind>,
    decoded: Arc<Decoded>,
    /// The rest of a batch that is being told.
    queued: VecDeque<(Cursor, storage::Change)>,
}

impl Store {
    /// Follows the changes of `kinds` from after `cursor`, or from now.
    ///
    /// # Errors
    /// When the back end fails.
    pub async fn changes(&self, kinds: &[Kind], cursor: Option<Cursor>) -> Result<Changes, Error> {
        // One kind can be told apart by its prefix; several are cheaper to sift here than to merge.
        let prefix = match kinds {
            [kind] => Prefix::kind(kind.as_str()),
            _ => Prefix::all(),
        };
        let watcher = self.backend.watch(&prefix, cursor).await.map_err(from_storage)?;
        Ok(Changes { watcher, kinds: kinds.to_vec(), decoded: self.decoded.clone(), queued: VecDeque::new() })
    }

    /// Shows every resource of a kind that is known only at run time, one page after the other.
    ///
    /// # Errors
    /// When the back end fails or holds something unreadable.
    pub async fn each_of(&self, kind: Kind, mut visit: impl FnMut(&AnyResource) + Send) -> Result<(), Error> {
        let (prefix, mut after) = (Prefix::kind(kind.as_str()), None);
        loop {
            let page =
                self.backend.range(&prefix, after.as_ref(), storage::MAX_PAGE_ITEMS).await.map_err(from_storage)?;
            for some in page.items.chunks(crate::DECODED_AT_ONCE) {
                for item in some {
                    visit(&decode_any(item)?);
                }
                tokio::task::yield_now().await;
            }
            match page.items.last() {
                Some(last) if page.more => after = Some(last.key.clone()),
                _ => return Ok(()),
            }
        }
    }
}

impl Changes {
    /// The next event. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Internal when a stored resource cannot be read; the next call goes on after it.
    pub async fn next(&mut self) -> Result<ChangeEvent, Error> {
        loop {
            if let Some((cursor, change)) = self.queued.pop_front() {
                return self.typed(cursor, change);
            }
            match self.watcher.next().await {
                WatchEvent::Progress(cursor) => return Ok(ChangeEvent::Progress(cursor)),
                WatchEvent::Resync => return Ok(ChangeEvent::Resync),
                WatchEvent::Batch { cursor, changes } => {
                    let kinds = &self.kinds;
                    let wanted =
                        |change: &storage::Change| kinds.iter().any(|kind| kind.as_str() == change.key().kind());
                    self.queued.extend(changes.into_iter().filter(wanted).map(|change| (cursor, change)));
                }
            }
        }
    }

    fn typed(&self, cursor: Cursor, change: storage::Change) -> Result<ChangeEvent, Error> {
        match change {
            storage::Change::Put(item) => Ok(ChangeEvent::Put { resource: self.decoded.resource(&item)?, cursor }),
            storage::Change::Delete { key } => {
                let kind = Kind::parse(key.kind()).ok_or_else(|| unknown(key.kind()))?;
                let (group, name) = (key.sub_kind().to_owned(), key.name().to_owned());
                Ok(ChangeEvent::Delete { kind, group, name, cursor })
            }
        }
    }
}

/// Reads a stored item of any kind.
pub(crate) fn decode_any(item: &Item) -> Result<AnyResource, Error> {
    macro_rules! by_kind {
        ($($resource:ident),+ $(,)?) => {
            match Kind::parse(item.key.kind()) {
                $(Some(<$resource as domain::Resource>::KIND) => {
                    Ok(AnyResource::from(decode::<$resource>(item)?.value))
                })+
                _ => Err(unknown(item.key.kind())),
            }
        };
    }
    by_kind!(
        App,
        AppServer,
        AuditConfig,
        AuthPreference,
        Bot,
        BotInstance,
        CertAuthority,
        ClusterName,
        Lock,
        NetworkingConfig,
        Role,
        SessionRecordingConfig,
        Token,
        User,
    )
}

fn unknown(kind: &str) -> Error {
    Error::internal(format!("a stored item has the kind {kind:?}, which this version does not know"))
}

/// The resources decoded last.
#[derive(Default)]
pub(crate) struct Decoded(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    resources: HashMap<(Revision, Key), Arc<AnyResource>>,
    order: VecDeque<(Revision, Key)>,
}

impl Decoded {
    fn resource(&self, item: &Item) -> Result<Arc<AnyResource>, Error> {
        let key = (item.revision, item.key.clone());
        // Held while decoding: of a thousand watchers that wake at once, the first works and the others wait for it.
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = memory.resources.get(&key) {
            return Ok(known.clone());
        }
        let resource = Arc::new(decode_any(item)?);
        if memory.order.len() == REMEMBERED
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.resources.remove(&oldest);
        }
        memory.order.push_back(key.clone());
        memory.resources.insert(key, resource.clone());
        Ok(resource)
    }
}

impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoded")
    }
}
