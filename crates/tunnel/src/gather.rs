//! What many streams have to say goes out together.
//!
//! HTTP/2 writes frame by frame, and each write below it is a TLS record and a system call. Under load dozens of streams
//! have something to say at the same time: a link lets all of them speak first, and then writes once.

use std::{
    future::poll_fn,
    io, mem,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use net::BoxIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::yield_now,
};

/// Gathered at most; a full TLS record. What is as large by itself goes out at once.
const MOST: usize = 16 * 1024;

/// A stream whose writes wait until the link's turn ends.
pub(crate) struct Gathered(Arc<Mutex<Inner>>);

/// Runs the link over it.
pub(crate) struct Turns(Arc<Mutex<Inner>>);

struct Inner {
    io: BoxIo,
    /// Written and not handed on. Given back when empty: an idle link holds nothing.
    waiting: Vec<u8>,
    /// Of `waiting`, what was handed on.
    handed: usize,
    /// What was gathered in this turn was written by so many writes.
    writes: usize,
}

/// A stream to begin a link over, and what runs it.
pub(crate) fn gather(io: BoxIo) -> (Gathered, Turns) {
    let inner = Arc::new(Mutex::new(Inner { io, waiting: Vec::new(), handed: 0, writes: 0 }));
    (Gathered(Arc::clone(&inner)), Turns(inner))
}

impl Turns {
    /// Polls `link` to its end. While streams have things to say at the same time, whoever else is ready goes before it.
    pub(crate) async fn run<T>(self, link: impl Future<Output = T>) -> T {
        let mut link = pin!(link);
        loop {
            let mut is_busy = false;
            let turn = poll_fn(|context| {
                let polled = link.as_mut().poll(context);
                let mut inner = lock(&self.0);
                // An error is kept by the stream below, and told at the next write or read.
                drop(inner.poll_empty(context));
                is_busy = mem::take(&mut inner.writes) > 1;
                Poll::Ready(polled)
            });
            if let Poll::Ready(ended) = turn.await {
                return ended;
            }
            woken().await;
            if is_busy {
                yield_now().await;
            }
        }
    }
}

/// Ends when its task is woken.
async fn woken() {
    let mut sleeps = true;
    poll_fn(|_| if mem::take(&mut sleeps) { Poll::Pending } else { Poll::Ready(()) }).await;
}

impl Inner {
    fn poll_empty(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.handed < self.waiting.len() {
            let written = ready!(Pin::new(&mut self.io).poll_write(context, &self.waiting[self.handed..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.handed += written;
        }
        if self.handed != 0 {
            (self.waiting, self.handed) = (Vec::new(), 0);
        }
        Pin::new(&mut self.io).poll_flush(context)
    }

    /// Makes room for `length` bytes, or for as much as there may be at most.
    fn poll_room(&mut self, context: &mut Context<'_>, length: usize) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() && self.waiting.len() + length > MOST {
            return self.poll_empty(context);
        }
        Poll::Ready(Ok(()))
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for Gathered {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).io).poll_read(context, into)
    }
}

impl AsyncWrite for Gathered {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = lock(&self.0);
        let length = slices.iter().map(|slice| slice.len()).sum();
        ready!(inner.poll_room(context, length))?;
        if length > MOST {
            return Pin::new(&mut inner.io).poll_write_vectored(context, slices);
        }
        inner.writes += 1;
        slices.iter().for_each(|slice| inner.waiting.extend_from_slice(slice));
        Poll::Ready(Ok(length))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// At the end of the turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        ready!(inner.poll_empty(context))?;
        Pin::new(&mut inner.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A stream that remembers how long its writes were.
    struct Seen(DuplexStream, Arc<Mutex<Vec<usize>>>);

    impl AsyncRead for Seen {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(context, into)
        }
    }

    impl AsyncWrite for Seen {
        fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let written = ready!(Pin::new(&mut self.0).poll_write(context, bytes))?;
            self.1.lock().unwrap().push(written);
            Poll::Ready(Ok(written))
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(context)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(context)
        }
    }

    fn seen(room: usize) -> (Gathered, Turns, DuplexStream, Arc<Mutex<Vec<usize>>>) {
        let (ours, theirs) = duplex(room);
        let writes = Arc::default();
        let (io, turns) = gather(Box::new(Seen(ours, Arc::clone(&writes))));
        (io, turns, theirs, writes)
    }

    #[tokio::test]
    async fn a_turn_is_one_write() {
        let (mut io, turns, _theirs, writes) = seen(1 << 20);
        let link = async move {
            for length in [9, 1000, 1] {
                io.write_all(&vec![7; length]).await?;
                io.flush().await?;
            }
            yield_now().await;
            io.write_all(&[8; 3]).await?;
            // A full record is not copied, and does not overtake.
            io.write_all(&[9; MOST + 1]).await?;
            io.write_all(&[10; 4]).await
        };
        turns.run(link).await.unwrap();
        assert_eq!(*writes.lock().unwrap(), [1010, 3, MOST + 1, 4]);
    }

    #[tokio::test]
    async fn everything_arrives_in_order_also_through_a_narrow_place() {
        let (mut io, turns, mut theirs, _) = seen(100);
        let bytes: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        let sent = bytes.clone();
        let link = async move {
            for (n, part) in sent.chunks(1 + MOST / 7).enumerate() {
                io.write_all(part).await?;
                if n % 3 == 0 {
                    yield_now().await;
                }
            }
            io.shutdown().await
        };
        let mut received = Vec::new();
        let (ended, read) = tokio::join!(turns.run(link), theirs.read_to_end(&mut received));
        ended.and(read).unwrap();
        assert!(received == bytes);
    }

    #[tokio::test]
    async fn an_idle_link_holds_nothing() {
        let (mut io, turns, _theirs, _) = seen(1 << 20);
        let inner = Arc::clone(&turns.0);
        let link = async move {
            io.write_all(&[7; 1000]).await.unwrap();
            yield_now().await;
            assert_eq!(inner.lock().unwrap().waiting.capacity(), 0);
        };
        turns.run(link).await;
    }

    /// What others have to say goes along; a link with one stream to carry waits for nobody.
    #[tokio::test]
    async fn a_busy_link_lets_others_speak_first() {
        for (parts, expected) in [(2, &[2, 2][..]), (1, &[1, 1, 1])] {
            let (mut io, turns, _theirs, writes) = seen(1 << 20);
            let (say, mut said) = tokio::sync::mpsc::unbounded_channel();
            let mut tasks = tokio::task::JoinSet::new();
            tasks.spawn(turns.run(async move {
                for _ in 0..parts {
                    io.write_all(b"x").await.unwrap();
                }
                while said.recv().await.is_some() {
                    io.write_all(b"y").await.unwrap();
                }
            }));
            tasks.spawn(async move {
                say.send(()).unwrap();
                // Who is ready now, but behind the link.
                let mut next = tokio::task::JoinSet::new();
                next.spawn(async move { say.send(()).unwrap() });
                next.join_all().await;
            });
            tasks.join_all().await;
            assert_eq!(*writes.lock().unwrap(), expected);
        }
    }
}
