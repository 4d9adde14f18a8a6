//! A channel as a stream: the connection's task moves bytes between packets and here, another task reads and writes.
//! What each side may put in is bounded: by the window that the client was given, and by [`OUTBOUND`].

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

/// Bytes that wait for the client.
const OUTBOUND: usize = 64 * 1024;

/// What both tasks share.
pub(super) struct Pipe {
    state: Mutex<State>,
    /// Wakes the connection's task, which looks after all its channels.
    moved: Arc<Notify>,
}

#[derive(Default)]
struct State {
    inbound: BytesMut,
    inbound_ended: bool,
    consumed: usize,
    outbound: BytesMut,
    outbound_ended: bool,
    /// The connection has let go of the channel.
    is_cut: bool,
    /// The stream has been dropped.
    is_finished: bool,
    answer: Option<Result<(), String>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What the connection's task finds when it looks.
pub(super) struct Found {
    /// The answer to the request to dial.
    pub(super) answer: Option<Result<(), String>>,
    /// Bytes that have been read since, which the client may send again.
    pub(super) consumed: usize,
    /// Bytes for the client.
    pub(super) bytes: BytesMut,
    /// There are more.
    pub(super) more: bool,
    /// There will be no more.
    pub(super) ended: bool,
    /// Nobody reads any more.
    pub(super) finished: bool,
}

impl Pipe {
    pub(super) fn new(moved: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), moved })
    }

    /// The other end.
    pub(super) fn stream(self: &Arc<Self>) -> Stream {
        Stream(Arc::clone(self))
    }

    /// What there is for the client, at most `window` bytes.
    pub(super) fn look(&self, window: usize) -> Found {
        let mut state = self.lock();
        let length = state.outbound.len().min(window);
        let bytes = state.outbound.split_to(length);
        if length > 0
            && let Some(writer) = state.writer.take()
        {
            writer.wake();
        }
        let is_empty = state.outbound.is_empty();
        Found {
            answer: state.answer.take(),
            consumed: std::mem::take(&mut state.consumed),
            bytes,
            more: !is_empty,
            ended: is_empty && (state.outbound_ended || state.is_finished),
            finished: is_empty && state.is_finished,
        }
    }

    /// Bytes from the client.
    pub(super) fn push(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if state.is_finished {
            // Nobody will read them; the window must not close over what is thrown away.
            state.consumed += bytes.len();
            return self.moved.notify_one();
        }
        state.inbound.extend_from_slice(bytes);
        state.wake_reader();
    }

    /// There will be no more from the client.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.inbound_ended = true;
        state.wake_reader();
    }

    /// The channel is gone.
    pub(super) fn cut(&self) {
        let mut state = self.lock();
        state.is_cut = true;
        state.wake_reader();
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }

    /// Bytes that are held, for either side.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        let state = self.lock();
        (state.inbound.len(), state.outbound.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// A channel, for whoever carries its bytes on.
pub(super) struct Stream(Arc<Pipe>);

impl Stream {
    /// Tells the client whether the dial has succeeded; if not, why.
    pub(super) fn answer(&self, answer: Result<(), String>) {
        self.0.lock().answer = Some(answer);
        self.0.moved.notify_one();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.lock().is_finished = true;
        self.0.moved.notify_one();
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if state.inbound.is_empty() {
            if state.inbound_ended || state.is_cut {
                return Poll::Ready(Ok(()));
            }
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let length = state.inbound.len().min(into.remaining());
        into.put_slice(&state.inbound[..length]);
        state.inbound.advance(length);
        state.consumed += length;
        self.0.moved.notify_one();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if state.is_cut || state.outbound_ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let length = OUTBOUND.saturating_sub(state.outbound.len()).min(bytes.len());
        if length == 0 && !bytes.is_empty() {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        state.outbound.extend_from_slice(&bytes[..length]);
        self.0.moved.notify_one();
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().outbound_ended = true;
        self.0.moved.notify_one();
        Poll::Ready(Ok(()))
    }
}
