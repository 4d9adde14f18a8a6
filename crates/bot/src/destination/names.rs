//! Users and groups of this machine, by name or number.

use std::{fs, process::Command};

use super::DestinationError;

/// A user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) id: u32,
    /// The primary group; that of a bare number is unknown and taken to be the same number.
    pub(super) group: u32,
}

/// Looks a user up. A number need not exist here. `place` is where the name was written.
pub(super) fn user(name: &str, place: &str) -> Result<User, DestinationError> {
    if let Ok(id) = name.parse() {
        let known = lookup("passwd", name, 2).and_then(|line| field(&line, 3));
        return Ok(User { id, group: known.unwrap_or(id) });
    }
    let line = lookup("passwd", name, 0);
    let user = line.and_then(|line| Some(User { id: field(&line, 2)?, group: field(&line, 3)? }));
    user.ok_or_else(|| unknown(place, "user", name))
}

/// Looks a group up. A number need not exist here.
pub(super) fn group(name: &str, place: &str) -> Result<u32, DestinationError> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let id = lookup("group", name, 0).and_then(|line| field(&line, 2));
    id.ok_or_else(|| unknown(place, "group", name))
}

fn unknown(place: &str, what: &'static str, name: &str) -> DestinationError {
    DestinationError::UnknownName { place: place.to_owned(), what, name: name.to_owned() }
}

/// The database line whose field `column` is `value`: first from the file, then from whatever else the machine asks
/// (LDAP and the like), through `getent`, because the C library's own lookup is not at hand.
fn lookup(database: &str, value: &str, column: usize) -> Option<String> {
    let matches = |line: &&str| line.split(':').nth(column) == Some(value);
    if let Ok(text) = fs::read_to_string(format!("/etc/{database}"))
        && let Some(line) = text.lines().find(matches)
    {
        return Some(line.to_owned());
    }
    let answer = Command::new("getent").args([database, "--", value]).output().ok()?;
    String::from_utf8(answer.stdout).ok()?.lines().find(matches).map(str::to_owned)
}

fn field(line: &str, column: usize) -> Option<u32> {
    line.split(':').nth(column)?.parse().ok()
}
