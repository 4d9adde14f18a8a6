//! What peers may make us hold of requests that are on their way: counted for each connection and for each user, and given
//! an end.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use clock::Clock;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use crate::dispatch::MAX_MESSAGE;

/// Bytes of unanswered requests on one connection: two of the largest messages.
///
/// Whoever has a certificate could begin 250 requests of 4 MiB on each of its connections and end none of them. A request
/// is counted as long as it says to be, from its first bytes on, so that of many at once some are received whole.
const BYTES_OF_CONNECTION: usize = 2 * MAX_MESSAGE + 64;

/// The same of all connections of one user: one stolen certificate costs the server this much and no more.
///
/// Ten thousand instances of one bot that come back at once after an outage ask with some 2 kB each.
const BYTES_OF_USER: usize = 32 << 20;

/// The same of a connection on which nobody is known: two of the largest messages that a stranger may send. With the number
/// of such connections ([`net::Limits`]) it bounds what strangers make us hold.
const BYTES_OF_STRANGER: usize = 2 * crate::dispatch::MAX_MESSAGE_OF_ANYONE + 64;

/// How long a request with one message may be on its way: 4 MiB at a megabit a second.
///
/// Without it a request that never ends would take its share of a budget for as long as the connection lives, and a copy of
/// a bot's certificate could keep the bot itself from being heard.
const ARRIVES_WITHIN: Duration = Duration::from_secs(35);

/// How many fields of a message are read for nothing: what bots ask has fewer than a hundred, and a crowd of them must fit
/// into one user's budget.
const FIELDS_FREE: usize = 256;

/// What each further field, and each further length, is taken to need in memory.
///
/// An element that is empty on the wire has two bytes there and up to a kilobyte here, so that four megabytes could become
/// gigabytes. With this cost a message has at most [`BYTES_OF_CONNECTION`] / 512 = 16 Ki of them, half as many elements,
/// and all requests of one user together four times as many: some tens of megabytes.
const BYTES_OF_FIELD: usize = 512;

/// How many fields are paid for at a time.
const FIELDS_AT_ONCE: usize = 64;

/// Bytes before a message: one of flags, four of length.
const PREFIX: usize = 5;

/// Bytes that may be held at a time.
#[derive(Debug)]
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    pub(crate) fn of_connection() -> Self {
        Self(BYTES_OF_CONNECTION.into())
    }

    pub(crate) fn of_stranger() -> Self {
        Self(BYTES_OF_STRANGER.into())
    }

    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::AcqRel);
    }
}

/// The budgets of the users who are connected.
#[derive(Debug, Default)]
pub(crate) struct Users(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    budgets: HashMap<String, Weak<Budget>>,
    /// At how many entries those of users who left are thrown away.
    sweep_at: usize,
}

impl Users {
    /// The budget that all connections of this user share.
    pub(crate) fn budget(&self, name: &str) -> Arc<Budget> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = known.budgets.get(name).and_then(Weak::upgrade) {
            return budget;
        }
        if known.budgets.len() >= known.sweep_at {
            known.budgets.retain(|_, budget| budget.strong_count() > 0);
            known.sweep_at = 2 * known.budgets.len() + 64;
        }
        let budget = Arc::new(Budget(BYTES_OF_USER.into()));
        known.budgets.insert(name.to_owned(), Arc::downgrade(&budget));
        budget
    }
}

/// What one request holds of its budgets; given back when the request is answered and nothing of it is kept.
#[derive(Debug)]
pub(crate) struct Charge {
    connection: Arc<Budget>,
    user: Option<Arc<Budget>>,
    /// What has arrived or is announced.
    arriving: AtomicUsize,
    /// What it needs beyond that: inflated, decoded, kept.
    beyond: AtomicUsize,
}

impl Charge {
    pub(crate) fn new(connection: Arc<Budget>, user: Option<Arc<Budget>>) -> Arc<Self> {
        Arc::new(Self { connection, user, arriving: AtomicUsize::new(0), beyond: AtomicUsize::new(0) })
    }

    /// Charges a message that is there as a whole, of this size when it is inflated. One before it is done with.
    pub(crate) fn inflated(&self, bytes: usize) -> Result<(), Status> {
        self.hold(&self.beyond, bytes.saturating_sub(self.arriving.load(Ordering::Acquire)))
    }

    /// Charges what is kept as long as an answer goes on, instead of the request that began it.
    pub(crate) fn keep(&self, bytes: usize) -> Result<(), Status> {
        self.hold(&self.arriving, 0)?;
        self.hold(&self.beyond, bytes)
    }

    /// Holds `total` bytes in one of the places from now on. Called from one task at a time.
    fn hold(&self, place: &AtomicUsize, total: usize) -> Result<(), Status> {
        let held = place.load(Ordering::Acquire);
        if let Some(less) = held.checked_sub(total) {
            self.give_back(less);
        } else {
            let more = total - held;
            if !self.connection.take(more) {
                return Err(too_much());
            }
            if !self.user.as_ref().is_none_or(|user| user.take(more)) {
                self.connection.give_back(more);
                return Err(too_much());
            }
        }
        place.store(total, Ordering::Release);
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.connection.give_back(bytes);
        if let Some(user) = &self.user {
            user.give_back(bytes);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let held = *self.arriving.get_mut() + *self.beyond.get_mut();
        self.give_back(held);
    }
}

fn too_much() -> Status {
    Status::resource_exhausted(
        "too many large requests of this user or on this connection are on their way, or one has too many fields; try \
         again when some of them are answered",
    )
}

/// The bytes of a message that is being decoded. Every field and every length is counted where the decoder reads it, and
/// paid for before it is made: only the decoder knows which bytes become elements.
pub(crate) struct Paid {
    bytes: Bytes,
    charge: Arc<Charge>,
    free: usize,
    refused: Option<Status>,
}

impl Paid {
    pub(crate) fn new(bytes: Bytes, charge: Arc<Charge>) -> Self {
        Self { bytes, charge, free: FIELDS_FREE, refused: None }
    }

    /// Why the message ended before its end, if it did.
    pub(crate) fn refused(self) -> Option<Status> {
        self.refused
    }
}

impl Buf for Paid {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(left) = self.free.checked_sub(1) {
            self.free = left;
            return;
        }
        let beyond = self.charge.beyond.load(Ordering::Acquire) + FIELDS_AT_ONCE * BYTES_OF_FIELD;
        match self.charge.hold(&self.charge.beyond, beyond) {
            Ok(()) => self.free = FIELDS_AT_ONCE - 1,
            Err(status) => {
                self.refused = Some(status);
                // The decoder finds nothing more to read.
                self.bytes.clear();
            }
        }
    }
}

/// When a request must have arrived.
enum Deadline {
    /// Never: a dialogue.
    None,
    /// The time runs from the first look at which something was missing: most requests are there at once.
    Unset(Clock),
    Set(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// The body of a request, counted while it comes in.
pub(crate) struct Received<B> {
    body: B,
    charge: Arc<Charge>,
    deadline: Deadline,
    /// The bytes before the message that is coming in, as far as they are there.
    prefix: Vec<u8>,
    /// How much of that message is missing.
    missing: usize,
    /// What messages before it hold: each message of a dialogue is done with when the next one comes.
    kept: usize,
}

impl<B> Received<B> {
    /// A request with one message when there is a clock to give it an end by, else a dialogue.
    pub(crate) fn new(body: B, charge: Arc<Charge>, clock: Option<Clock>) -> Self {
        let deadline = clock.map_or(Deadline::None, Deadline::Unset);
        Self { body, charge, deadline, prefix: Vec::with_capacity(PREFIX), missing: 0, kept: 0 }
    }

    /// Counts what has arrived, and what is announced to arrive.
    fn count(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            let (begin, rest) = data.split_at(data.len().min(PREFIX - self.prefix.len()));
            self.prefix.extend_from_slice(begin);
            data = rest;
            let announced = match self.prefix[..] {
                [_, a, b, c, d] => u32::from_be_bytes([a, b, c, d]) as usize,
                _ => 0,
            };
            if !begin.is_empty() {
                self.missing = announced;
            }
            // What is larger is refused by its length.
            let current = self.prefix.len() + announced.min(MAX_MESSAGE);
            self.charge.hold(&self.charge.arriving, self.kept + current)?;
            let come = data.len().min(self.missing);
            data = &data[come..];
            self.missing -= come;
            if self.missing == 0 && self.prefix.len() == PREFIX {
                self.kept = if matches!(self.deadline, Deadline::None) { 0 } else { self.kept + current };
                self.prefix.clear();
            }
        }
        Ok(())
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        if let Deadline::Unset(clock) = &self.deadline {
            let clock = clock.clone();
            self.deadline = Deadline::Set(Box::pin(async move { clock.sleep(ARRIVES_WITHIN).await }));
        }
        match &mut self.deadline {
            Deadline::Set(end) => end.as_mut().poll(context).is_ready(),
            Deadline::None | Deadline::Unset(_) => false,
        }
    }
}

impl<B> Body for Received<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let counted = frame.data_ref().map_or(Ok(()), |data| self.count(data));
                Poll::Ready(Some(counted.map(|()| frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Status::from_error(error.into())))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if self.is_late(context) => {
                let text = format!("the request did not arrive within {} s", ARRIVES_WITHIN.as_secs());
                Poll::Ready(Some(Err(Status::deadline_exceeded(text))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
