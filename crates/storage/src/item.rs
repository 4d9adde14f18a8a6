//! Items, and the two kinds of number that come with them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use jiff::Timestamp;

use crate::key::Key;

/// The most items on one page of a range.
pub const MAX_PAGE_ITEMS: usize = 1_000;

/// A page ends with the item that takes its values past this many bytes.
pub const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// One stored item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its key.
    pub key: Key,
    /// What is kept.
    pub value: Bytes,
    /// When it stops being there, kept to the microsecond; `None`: never.
    pub expires: Option<Timestamp>,
    /// Which version of the item this is.
    pub revision: Revision,
    /// Where in the change stream this version was written.
    pub cursor: Cursor,
}

/// One page of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The items, in key order.
    pub items: Vec<Item>,
    /// Where in the change stream this snapshot lies.
    pub cursor: Cursor,
    /// Whether there may be items after the last one.
    pub more: bool,
}

/// A version of one item: good for compare-and-set, and for nothing else.
///
/// It carries a random part, so that versions written after a store was restored from an older copy do not meet
/// those that were lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision(u128);

impl Revision {
    /// The revision of what is written at `position` by the process that drew `salt`. For adapters.
    pub fn new(position: u64, salt: u64) -> Self {
        Self(u128::from(position) << 64 | u128::from(salt))
    }

    /// What it was made of. For adapters.
    pub fn parts(self) -> (u64, u64) {
        ((self.0 >> 64) as u64, self.0 as u64)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revision({self})")
    }
}

/// The text is not a revision or a cursor that this program wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed revision or cursor")]
pub struct Malformed;

impl FromStr for Revision {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Malformed);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| Malformed)
    }
}

/// A position in the change stream. Only cursors of one incarnation of a store are ordered.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    incarnation: u64,
    position: u64,
}

impl Cursor {
    /// A position within an incarnation. For adapters.
    pub fn new(incarnation: u64, position: u64) -> Self {
        Self { incarnation, position }
    }

    /// Which change stream it belongs to.
    pub fn incarnation(self) -> u64 {
        self.incarnation
    }

    /// Where in that stream.
    pub fn position(self) -> u64 {
        self.position
    }
}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.incarnation == other.incarnation).then(|| self.position.cmp(&other.position))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.incarnation, self.position)
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({:x}:{})", self.incarnation, self.position)
    }
}

impl FromStr for Cursor {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let Revision(both) = text.parse()?;
        Ok(Self { incarnation: (both >> 64) as u64, position: both as u64 })
    }
}
