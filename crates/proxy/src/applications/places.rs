//! How many streams of a link a user holds. A link carries a bounded number, and nobody's sessions may take the place of
//! somebody else's: half of them is kept for those who hold few, of the other half each may hold as many as are left free.

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

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Streams of one link, less the one over which the agent is told the news.
const STREAMS: usize = tunnel::link::MAX_STREAMS as usize - 1;

/// Kept for users who hold few.
const KEPT: usize = STREAMS / 2;

/// How many are few: at least so many users find these on a link that others would fill: `KEPT / FEW`.
const FEW: usize = 16;

/// What users hold.
#[derive(Default)]
pub(crate) struct Places(Mutex<HashMap<Arc<str>, Link>>);

#[derive(Default)]
struct Link {
    held: usize,
    by_user: HashMap<Arc<str>, usize>,
}

/// One of them, given back when dropped, unless it was before.
pub(crate) struct Place {
    places: Arc<Places>,
    pub(crate) link: Arc<str>,
    pub(crate) user: Arc<str>,
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

impl Places {
    /// A place on the link to this host.
    pub(crate) fn take(self: &Arc<Self>, user: &str, link: &Arc<str>) -> Result<Arc<Place>, Full> {
        let mut links = self.lock();
        let Link { held, by_user } = links.entry(Arc::clone(link)).or_default();
        let free = STREAMS.saturating_sub(*held);
        let (user, count) = match by_user.get_key_value(user) {
            Some((user, count)) => (Arc::clone(user), *count),
            None => (user.into(), 0),
        };
        if free == 0 {
            return Err(Full::OfAll);
        }
        if count >= free.saturating_sub(KEPT).max(FEW) {
            return Err(Full::OfUser);
        }
        *by_user.entry(Arc::clone(&user)).or_default() += 1;
        *held += 1;
        drop(links);
        let (places, link) = (Arc::clone(self), Arc::clone(link));
        Ok(Arc::new(Place { places, link, user, is_given_back: AtomicBool::new(false) }))
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
        if let Some(count) = link.by_user.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                link.by_user.remove(&self.user);
            }
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
        std::iter::from_fn(|| places.take(user, link).ok()).collect()
    }

    #[test]
    fn one_user_alone_takes_a_quarter_of_a_link_and_gives_it_back() {
        let places = Arc::new(Places::default());
        let (near, far): (Arc<str>, Arc<str>) = ("near".into(), "far".into());
        let mut held = take_all(&places, "alice", &near);
        assert_eq!(held.len(), STREAMS / 4 + 1);
        assert!(places.take("alice", &far).is_ok() && places.take("bob", &near).is_ok());
        assert_eq!(places.take("alice", &near).err(), Some(Full::OfUser));
        held[0].give_back();
        held.push(places.take("alice", &near).unwrap());
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
        assert!(places.take("the next", &link).is_ok());
        for user in 0..STREAMS {
            held.push(take_all(&places, &format!("somebody {user}"), &link));
        }
        assert_eq!(places.take("one more", &link).err(), Some(Full::OfAll));
    }
}
