//! How many streams to one agent a user holds: a link carries a bounded number, and one user must not take them all.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Streams of one user to one agent: a quarter of those that a link carries.
const MOST: usize = 512;

/// A user, and an agent's host id.
type Key = (String, Arc<str>);

/// Who holds how many.
#[derive(Default)]
pub(crate) struct Places(Mutex<HashMap<Key, usize>>);

/// One of them, given back when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    key: Key,
}

impl Places {
    /// A place; none when the user has all that he may.
    pub(crate) fn take(self: &Arc<Self>, user: &str, host: &Arc<str>) -> Option<Place> {
        let key = (user.to_owned(), Arc::clone(host));
        let mut held = self.lock();
        let count = held.entry(key.clone()).or_default();
        if *count >= MOST {
            return None;
        }
        *count += 1;
        drop(held);
        Some(Place { places: Arc::clone(self), key })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

/// A stream, and the place that it takes.
pub(crate) struct Held<S> {
    pub(crate) stream: S,
    pub(crate) _place: Place,
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

    #[test]
    fn one_user_takes_a_part_of_an_agents_streams_and_gives_them_back() {
        let places = Arc::new(Places::default());
        let (near, far): (Arc<str>, Arc<str>) = ("near".into(), "far".into());
        let mut held: Vec<_> = (0..MOST).map(|_| places.take("alice", &near).unwrap()).collect();
        assert!(places.take("alice", &near).is_none());
        assert!(places.take("alice", &far).is_some() && places.take("bob", &near).is_some());
        held.pop();
        held.push(places.take("alice", &near).unwrap());
        drop(held);
        assert!(places.lock().is_empty());
    }
}
