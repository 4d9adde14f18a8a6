//! Rows to items and back. Times are microseconds; unsigned numbers are kept as the signed ones with the same bits.

use bytes::Bytes;
use clock::Timestamp;
use rusqlite::{Connection, Row};
use storage::{Cursor, Error, Item, Key, Result, Revision};

use crate::error::refused;

/// The one row of `head`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Of the last batch that wrote something.
    pub(crate) position: u64,
    /// Of the last journal entry.
    pub(crate) journal: u64,
}

pub(crate) fn head(connection: &Connection) -> rusqlite::Result<Head> {
    connection.query_row("SELECT position, journal FROM head", [], |row| {
        Ok(Head { position: row.get::<_, i64>(0)?.cast_unsigned(), journal: row.get::<_, i64>(1)?.cast_unsigned() })
    })
}

/// Reads a row of `key, value, expires, position, salt`.
pub(crate) fn item(row: &Row<'_>, incarnation: u64) -> Result<Item> {
    let column = |error| refused(&error);
    let key = row.get_ref(0).map_err(column)?.as_blob().map_err(|error| corrupt(&error.to_string()))?;
    let value = row.get_ref(1).map_err(column)?.as_blob().map_err(|error| corrupt(&error.to_string()))?;
    let position = row.get::<_, i64>(3).map_err(column)?.cast_unsigned();
    let salt = row.get::<_, i64>(4).map_err(column)?.cast_unsigned();
    Ok(Item {
        key: Key::decode(key).ok_or_else(|| corrupt("a key that is none"))?,
        value: Bytes::copy_from_slice(value),
        expires: row.get::<_, Option<i64>>(2).map_err(column)?.map(time).transpose()?,
        revision: Revision::new(position, salt),
        cursor: Cursor::new(incarnation, position),
    })
}

pub(crate) fn time(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| corrupt("a time out of range"))
}

pub(crate) fn corrupt(what: &str) -> Error {
    Error::Corrupt { what: format!("the database holds {what}") }
}
