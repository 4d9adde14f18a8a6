//! Everything of a day, for programs that copy the audit log elsewhere. A day is one chunk.

use std::time::Duration;

use audit::{Entry, Order, Query};
use clock::Timestamp;
use domain::Error;
use rbac::Verb;

use super::{
    permit,
    search::{MAX_EVENTS, find},
};
use crate::{Auth, Caller, Operation};

/// The name of the only chunk of a day.
pub const CHUNK: &str = "day";

const DAY: i64 = 24 * 3600;

/// A walk through the events of a day, oldest first.
#[derive(Debug)]
pub struct Export {
    query: Query,
    /// How many events of the next page were exported before.
    skip: usize,
    is_done: bool,
}

/// The day (UTC) that a time lies in: its first moment and its last.
fn day_of(date: Timestamp) -> (Timestamp, Timestamp) {
    let begin = date.as_second().div_euclid(DAY) * DAY;
    let begin = Timestamp::from_second(begin).unwrap_or(date);
    (begin, begin.saturating_add(Duration::from_secs(24 * 3600) - Duration::from_micros(1)).unwrap_or(Timestamp::MAX))
}

/// The chunks of a day: one if anything happened.
///
/// # Errors
/// Denied.
pub async fn chunks(auth: &Auth, caller: &Caller, date: Timestamp) -> Result<Vec<&'static str>, Error> {
    permit(auth, caller, Operation::SearchEvents, &[Verb::List, Verb::Read])?;
    let mut query = whole_day(date);
    query.limit = 1;
    loop {
        let found = find(auth, query.clone()).await?;
        match (found.entries.is_empty(), found.next) {
            (false, _) => return Ok(vec![CHUNK]),
            (true, None) => return Ok(Vec::new()),
            (true, next) => query.cursor = next,
        }
    }
}

/// Begins to export a chunk, after the event that `cursor` names.
///
/// # Errors
/// Denied; not found for another chunk; invalid cursor.
pub fn begin(auth: &Auth, caller: &Caller, date: Timestamp, chunk: &str, cursor: &str) -> Result<Export, Error> {
    permit(auth, caller, Operation::SearchEvents, &[Verb::List, Verb::Read])?;
    if chunk != CHUNK {
        return Err(Error::not_found(format!("chunk {chunk:?} not found")));
    }
    let mut query = whole_day(date);
    let mut skip = 0;
    if !cursor.is_empty() {
        let (page, count) = cursor.split_once('+').ok_or_else(foreign)?;
        skip = count.parse().map_err(|_| foreign())?;
        query.cursor = (!page.is_empty()).then(|| page.to_owned());
    }
    Ok(Export { query, skip, is_done: skip > MAX_EVENTS })
}

impl Export {
    /// The next events, each with the cursor to go on after it; empty at the end.
    ///
    /// # Errors
    /// Denied, when the caller has lost the right meanwhile: an export may run for hours. What storage says.
    pub async fn next(&mut self, auth: &Auth, caller: &Caller) -> Result<Vec<(Entry, String)>, Error> {
        permit(auth, caller, Operation::SearchEvents, &[Verb::List, Verb::Read])?;
        while !self.is_done {
            let found = find(auth, self.query.clone()).await?;
            let page = self.query.cursor.clone().unwrap_or_default();
            let skip = std::mem::take(&mut self.skip);
            let events: Vec<_> = found.entries.into_iter().enumerate().skip(skip).collect();
            match found.next {
                Some(next) => self.query.cursor = Some(next),
                None => self.is_done = true,
            }
            if !events.is_empty() {
                let with_cursor = |(index, entry)| (entry, format!("{page}+{}", index + 1));
                return Ok(events.into_iter().map(with_cursor).collect());
            }
        }
        Ok(Vec::new())
    }
}

fn whole_day(date: Timestamp) -> Query {
    let (from, to) = day_of(date);
    Query { from, to, types: Vec::new(), text: None, order: Order::OldestFirst, limit: MAX_EVENTS, cursor: None }
}

fn foreign() -> Error {
    Error::invalid("the cursor is none that this server gave out; begin without one")
}
