//! Searching the log: the port, and its implementation over a journal that is itself the log.

use std::sync::Arc;

use async_trait::async_trait;
use clock::Timestamp;
use storage::{Backend, JournalPosition, JournalRecord};

use crate::{Entry, ReadError};

/// How far the order of commits may differ from the order of times: a record is stamped before it is committed, and
/// clocks are corrected. A record that is further out of order may be missed by a search for its time.
const SLACK: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);
/// How many records one search looks at before it answers with what it has, if it has anything.
const SCAN: usize = 20_000;
/// How many records one search looks at at all; then it answers with nothing and the place where it stopped.
///
/// A text that is nowhere makes a search read every record of its time. Without a bound a handful of such requests, each
/// given up by its caller and asked again, would keep the server reading a journal of years. More than [`SCAN`], because
/// some clients take an empty page for the end: what they look for should be rare indeed before they miss it.
const SCAN_AT_MOST: usize = 100_000;
/// The most records of one answer.
pub const MAX_LIMIT: usize = 1_000;
/// The most bytes of the records of one answer; a single larger record is still an answer of its own.
///
/// Official clients take no message over 4 MiB, and one that cannot be taken ends the search for good. Agents report what
/// others have chosen, paths and headers; half leaves room for what a message adds.
const MAX_BYTES: usize = 2 << 20;

/// Which way a search goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The oldest record first.
    OldestFirst,
    /// The newest record first.
    #[default]
    NewestFirst,
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Query {
    /// Not before.
    pub from: Timestamp,
    /// Not after.
    pub to: Timestamp,
    /// Only these types; all when empty.
    pub types: Vec<String>,
    /// Only records whose JSON holds this text, in any case of letters.
    pub text: Option<String>,
    /// Which way.
    pub order: Order,
    /// At most this many; 0 and too much mean [`MAX_LIMIT`].
    pub limit: usize,
    /// Where the answer before ended.
    pub cursor: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The records, in the order asked for.
    pub entries: Vec<Entry>,
    /// Where to go on; names the last record that was looked at. `None` at the end. Beside no records it says that a
    /// bounded part of the log held none: each request moves on, so whoever asks until this is `None` comes to the end.
    pub next: Option<String>,
}

/// A search failed.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The cursor is none of ours.
    #[error("the audit search cursor is malformed")]
    Cursor,
    /// The store failed.
    #[error("the audit log cannot be read")]
    Storage(#[from] storage::Error),
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] ReadError),
}

/// The place where audit records can be searched.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Finds records.
    async fn search(&self, query: &Query) -> Result<Found, SearchError>;
}

/// The journal as the audit store: for back ends that keep it.
#[derive(Clone)]
pub struct JournalStore {
    backend: Arc<dyn Backend>,
    /// See [`SCAN_AT_MOST`].
    scan_at_most: usize,
}

impl JournalStore {
    /// Over this back end's journal.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, scan_at_most: SCAN_AT_MOST }
    }

    /// The greatest position `p` such that no record up to and including it is as late as `time`, by bisection.
    async fn before(&self, time: Timestamp) -> Result<u64, storage::Error> {
        let is_earlier = async |position: u64| {
            let page = self.backend.journal_read(Some(JournalPosition(position)), 1).await?;
            Ok::<_, storage::Error>(page.records.first().is_some_and(|record| record.entry.time < time))
        };
        if !is_earlier(0).await? {
            return Ok(0);
        }
        let (mut low, mut high) = (0, 1);
        while is_earlier(high).await? {
            low = high;
            // Positions are counted, so the sum never gets near the end of the numbers.
            high = high.saturating_mul(2);
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if is_earlier(middle).await? {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(high)
    }

    async fn forward(&self, query: &Query, start: u64) -> Result<Found, SearchError> {
        let end = query.to.saturating_add(SLACK).unwrap_or(Timestamp::MAX);
        let (mut matches, mut at, mut scanned) = (Matches::new(query), start, 0);
        loop {
            let page = self.backend.journal_read(Some(JournalPosition(at)), storage::MAX_PAGE_ITEMS).await?;
            for record in &page.records {
                if record.entry.time > end {
                    return Ok(matches.end());
                }
                if matches.take(record)? {
                    return Ok(matches.more());
                }
            }
            scanned += page.records.len();
            match page.records.last() {
                Some(last) if page.more => at = last.position.0,
                _ => return Ok(matches.end()),
            }
            if self.is_enough(scanned, &matches) {
                return Ok(matches.more());
            }
        }
    }

    fn is_enough(&self, scanned: usize, matches: &Matches<'_>) -> bool {
        scanned >= self.scan_at_most || scanned >= SCAN && !matches.found.entries.is_empty()
    }

    /// Backwards in windows of positions; they widen over stretches where nothing is.
    async fn backward(&self, query: &Query, start: u64) -> Result<Found, SearchError> {
        let end = query.from.saturating_sub(SLACK).unwrap_or(Timestamp::MIN);
        let (mut matches, mut high, mut scanned, mut width) = (Matches::new(query), start, 0, 500);
        // `high` is the first position that is not looked at any more.
        while high > 1 {
            let low = high.saturating_sub(width).max(1);
            let window = self.window(low, high).await?;
            for record in window.iter().rev() {
                if record.entry.time < end {
                    return Ok(matches.end());
                }
                if matches.take(record)? {
                    return Ok(matches.more());
                }
            }
            scanned += window.len();
            if self.is_enough(scanned, &matches) {
                return Ok(matches.more());
            }
            if window.is_empty() && !self.has_before(low).await? {
                break;
            }
            width = if window.is_empty() { width.saturating_mul(4) } else { 500 };
            high = low;
        }
        Ok(matches.end())
    }

    /// The records at positions from `low` to before `high`.
    async fn window(&self, low: u64, high: u64) -> Result<Vec<JournalRecord>, storage::Error> {
        let (mut window, mut after) = (Vec::new(), low - 1);
        loop {
            let page = self.backend.journal_read(Some(JournalPosition(after)), 500).await?;
            let last = page.records.last().map(|record| record.position.0);
            window.extend(page.records.into_iter().filter(|record| record.position.0 < high));
            match last {
                Some(last) if page.more && last + 1 < high => after = last,
                _ => return Ok(window),
            }
        }
    }

    /// Whether the log goes on to this position.
    async fn reaches(&self, position: u64) -> Result<bool, storage::Error> {
        let before = JournalPosition(position.saturating_sub(1));
        Ok(!self.backend.journal_read(Some(before), 1).await?.records.is_empty())
    }

    async fn has_before(&self, position: u64) -> Result<bool, storage::Error> {
        let page = self.backend.journal_read(None, 1).await?;
        Ok(page.records.first().is_some_and(|record| record.position.0 < position))
    }
}

#[async_trait]
impl Store for JournalStore {
    async fn search(&self, query: &Query) -> Result<Found, SearchError> {
        let cursor = query.cursor.as_deref().filter(|cursor| !cursor.is_empty());
        let cursor = match cursor {
            Some(cursor) => Some(u64::from_str_radix(cursor, 16).map_err(|_| SearchError::Cursor)?),
            None => None,
        };
        match (query.order, cursor) {
            (Order::OldestFirst, Some(at)) => self.forward(query, at).await,
            // Beyond the end nothing was ever looked at; the windows would widen on the way down until one held it all.
            (Order::NewestFirst, Some(at)) if !self.reaches(at).await? => Ok(Found::default()),
            (Order::NewestFirst, Some(at)) => self.backward(query, at).await,
            (Order::OldestFirst, None) => {
                let from = query.from.saturating_sub(SLACK).unwrap_or(Timestamp::MIN);
                // One before the place found, since reading is always *after* a position.
                let start = self.before(from).await?.saturating_sub(1);
                self.forward(query, start).await
            }
            (Order::NewestFirst, None) => {
                let to = query.to.saturating_add(SLACK).unwrap_or(Timestamp::MAX);
                let start = self.before(to).await?;
                self.backward(query, start.saturating_add(1)).await
            }
        }
    }
}

/// Collects what matches.
struct Matches<'a> {
    query: &'a Query,
    limit: usize,
    text: Option<String>,
    last: u64,
    bytes: usize,
    found: Found,
}

impl<'a> Matches<'a> {
    fn new(query: &'a Query) -> Self {
        let limit = if query.limit == 0 { MAX_LIMIT } else { query.limit.min(MAX_LIMIT) };
        let text = query.text.as_deref().filter(|text| !text.is_empty()).map(str::to_lowercase);
        Self { query, limit, text, last: 0, bytes: 0, found: Found::default() }
    }

    /// Takes a record if it matches; whether the answer is full now.
    fn take(&mut self, record: &JournalRecord) -> Result<bool, ReadError> {
        let JournalRecord { position, entry } = record;
        let before = std::mem::replace(&mut self.last, position.0);
        if entry.time < self.query.from || entry.time > self.query.to {
            return Ok(false);
        }
        if let Some(text) = &self.text
            && !String::from_utf8_lossy(&entry.value).to_lowercase().contains(text)
        {
            return Ok(false);
        }
        let read = Entry::read(entry.value.clone())?;
        if !self.query.types.is_empty() && !self.query.types.contains(&read.event) {
            return Ok(false);
        }
        self.bytes += entry.value.len();
        if self.bytes > MAX_BYTES && !self.found.entries.is_empty() {
            self.last = before;
            return Ok(true);
        }
        self.found.entries.push(read);
        Ok(self.found.entries.len() >= self.limit)
    }

    fn end(self) -> Found {
        self.found
    }

    fn more(mut self) -> Found {
        self.found.next = Some(format!("{:x}", self.last));
        self.found
    }
}

#[cfg(test)]
mod tests;
