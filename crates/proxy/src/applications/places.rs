//! How many streams of a link a user holds. A link carries a bounded number, and nobody's sessions may take the place of
//! somebody else's: half of them is kept for those who hold few, of the other half each may hold as many as are left free.
//! Another proxy says for whom it opens a stream; all that it opens is at most the half that is not kept.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use crypto::hash::sha256_hex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Streams of one link, less the one over which the agent is told the news.
const STREAMS: usize = tunnel::link::MAX_STREAMS as usize - 1;

/// Kept for users who hold few.
const KEPT: usize = STREAMS / 2;

/// How many are few: at least so many users find these on a link that others would fill: `KEPT / FEW`.
const FEW: usize = 16;

/// What users hold, by link.
#[derive(Default)]
pub(crate) struct Places(Mutex<HashMap<Arc<str>, Link>>);

#[derive(Default)]
struct Link {
    held: usize,
    by_share: HashMap<Arc<str>, usize>,
    by_peer: HashMap<Arc<str>, usize>,
}

/// Whose a stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Stands for the user, here and at other proxies.
    pub(crate) share: Arc<str>,
    /// The other proxy whose word that is.
    pub(crate) peer: Option<Arc<str>>,
}

impl Holder {
    /// Somebody whose session we have seen ourselves.
    pub(crate) fn user(name: &str) -> Self {
        Self { share: sha256_hex(name.as_bytes()).into(), peer: None }
    }
}

/// One of them, given back when dropped, unless it was before.
pub(crate) struct Place {
    places: Arc<Places>,
    pub(crate) link: Arc<str>,
    pub(crate) holder: Holder,
    is_given_back: AtomicBool,
}

/// There is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// The user has all that he may.
    #[error("the user has too many connections to this agent open")]
    OfUser,
    /// All users together have all that there are.
    #[error("the tunnel to the agent carries as many connections as it can")]
    OfAll,
}

impl Full {
    /// What another proxy means by its words.
    pub(crate) fn heard(words: &str) -> Option<Self> {
        [Self::OfUser, Self::OfAll].into_iter().find(|full| full.to_string() == words)
    }
}

impl Link {
    /// Whether there is a place for this holder, once `own` of his and `idle` in all have been given back.
    fn check(&self, holder: &Holder, own: usize, idle: usize) -> Result<(), Full> {
        let count = |counts: &HashMap<Arc<str>, usize>, key| counts.get(key).copied().unwrap_or_default();
        let free = STREAMS.saturating_sub(self.held.saturating_sub(idle));
        if free == 0 || holder.peer.as_ref().is_some_and(|peer| count(&self.by_peer, peer) >= STREAMS - KEPT) {
            return Err(Full::OfAll);
        }
        let of_user = count(&self.by_share, &holder.share).saturating_sub(own);
        if of_user >= free.saturating_sub(KEPT).max(FEW) { Err(Full::OfUser) } else { Ok(()) }
    }
}

impl Places {
    /// A place on a link.
    pub(crate) fn take(self: &Arc<Self>, holder: &Holder, link: &Arc<str>) -> Result<Arc<Place>, Full> {
        let mut links = self.lock();
        let on_link = links.entry(Arc::clone(link)).or_default();
        on_link.check(holder, 0, 0)?;
        on_link.held += 1;
        *on_link.by_share.entry(Arc::clone(&holder.share)).or_default() += 1;
        if let Some(peer) = &holder.peer {
            *on_link.by_peer.entry(Arc::clone(peer)).or_default() += 1;
        }
        drop(links);
        let (places, link, holder) = (Arc::clone(self), Arc::clone(link), holder.clone());
        Ok(Arc::new(Place { places, link, holder, is_given_back: AtomicBool::new(false) }))
    }

    /// Whether there is a place once `own` of this holder's and `idle` in all have been given back.
    pub(crate) fn would_take(&self, holder: &Holder, link: &str, own: usize, idle: usize) -> bool {
        self.lock().get(link).is_none_or(|link| link.check(holder, own, idle).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Link>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Somebody else may have it at once: what it was taken for ends in a moment.
    pub(crate) fn give_back(&self) {
        if self.is_given_back.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut links = self.places.lock();
        let Some(link) = links.get_mut(&self.link) else { return };
        link.held -= 1;
        let release = |counts: &mut HashMap<Arc<str>, usize>, key| {
            if let Some(count) = counts.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(key);
                }
            }
        };
        release(&mut link.by_share, &self.holder.share);
        if let Some(peer) = &self.holder.peer {
            release(&mut link.by_peer, peer);
        }
        if link.held == 0 {
            links.remove(&self.link);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A stream, and the place that it takes.
pub(crate) struct Held<S> {
    pub(crate) stream: S,
    pub(crate) place: Arc<Place>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(places: &Arc<Places>, user: &str, link: &Arc<str>) -> Vec<Arc<Place>> {
        let holder = Holder::user(user);
        std::iter::from_fn(|| places.take(&holder, link).ok()).collect()
    }

    #[test]
    fn one_user_alone_takes_a_quarter_of_a_link_and_gives_it_back() {
        let places = Arc::new(Places::default());
        let (near, far): (Arc<str>, Arc<str>) = ("near".into(), "far".into());
        let mut held = take_all(&places, "alice", &near);
        assert_eq!(held.len(), STREAMS / 4 + 1);
        assert!(places.take(&Holder::user("alice"), &far).is_ok() && places.take(&Holder::user("bob"), &near).is_ok());
        assert_eq!(places.take(&Holder::user("alice"), &near).err(), Some(Full::OfUser));
        held[0].give_back();
        held.push(places.take(&Holder::user("alice"), &near).unwrap());
        drop(held);
        assert!(places.lock().is_empty());
    }

    #[test]
    fn whoever_comes_next_finds_places_however_many_want_them_all() {
        let places = Arc::new(Places::default());
        let link: Arc<str> = "agent".into();
        let mut held = Vec::new();
        for user in 0..KEPT / FEW {
            let taken = take_all(&places, &format!("user-{user}"), &link);
            assert!(taken.len() >= FEW, "user {user} has {} places", taken.len());
            held.push(taken);
        }
        // What somebody gives back is not for one alone.
        let many = held.swap_remove(0).len();
        let again = take_all(&places, "somebody else", &link);
        assert!((FEW..=many / 2 + 1).contains(&again.len()), "{} of {many}", again.len());
        assert!(places.take(&Holder::user("the next"), &link).is_ok());
        for user in 0..STREAMS {
            held.push(take_all(&places, &format!("somebody {user}"), &link));
        }
        assert_eq!(places.take(&Holder::user("one more"), &link).err(), Some(Full::OfAll));
    }

    #[test]
    fn what_another_proxy_says_of_its_users_takes_no_more_than_half_of_a_link() {
        let places = Arc::new(Places::default());
        let link: Arc<str> = "agent".into();
        let holder = |number| Holder { share: format!("made up {number}").into(), peer: Some("beef".into()) };
        let mut held: Vec<_> = (0..STREAMS).map_while(|number| places.take(&holder(number), &link).ok()).collect();
        assert_eq!(held.len(), STREAMS - KEPT);
        let other = Holder { peer: Some("another".into()), ..holder(0) };
        held.push(places.take(&other, &link).unwrap());
        held.push(places.take(&Holder::user("alice"), &link).unwrap());
        drop(held);
        assert!(places.lock().is_empty());
    }
}
