//! The file: its format, how it is opened, and how an older one becomes a newer one.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::Synchronous;
use crate::error::OpenError;

/// The format that this version writes, kept in the file as `user_version`.
pub const FORMAT: i64 = 1;

/// "TSRA": tells our files from those of other programs.
const APPLICATION: i64 = 0x5453_5241;

/// Only the owner may read a cluster's secrets.
const MODE: u32 = 0o600;

/// Format 1. A row id table, not `WITHOUT ROWID`: documents of 1 to 4 kB stay on one page, and a change of an item
/// leaves the index of keys alone.
const CREATE: &str = "
    CREATE TABLE head (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        position INTEGER NOT NULL,
        journal INTEGER NOT NULL,
        trimmed INTEGER NOT NULL
    ) STRICT;
    INSERT INTO head VALUES (1, 0, 0, 0);
    CREATE TABLE items (
        id INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        value BLOB NOT NULL,
        expires INTEGER,
        position INTEGER NOT NULL,
        salt INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX items_expires ON items (expires) WHERE expires IS NOT NULL;
    CREATE TABLE journal (
        position INTEGER PRIMARY KEY,
        id BLOB NOT NULL,
        time INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
";

/// `MIGRATIONS[n]` makes format `n + 2` of format `n + 1`.
const MIGRATIONS: &[&str] = &[];

/// Keeps a second process away from the file.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Lock {
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let lock = beside(path, "lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(MODE).open(&lock);
        let file = file.map_err(|source| OpenError::io(&lock, source))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(file)),
            Err(Errno::WOULDBLOCK) => Err(OpenError::InUse { path: path.to_owned() }),
            Err(errno) => Err(OpenError::io(&lock, errno)),
        }
    }
}

/// Opens the file for the writer: makes it, or checks and migrates it. A file that is not ours stays as it is.
pub(crate) fn open(path: &Path, synchronous: Synchronous) -> Result<Connection, OpenError> {
    if !path.exists() {
        private_file(path).map_err(|source| OpenError::io(path, source))?;
    }
    open_with(path, synchronous, MIGRATIONS)
}

fn open_with(path: &Path, synchronous: Synchronous, migrations: &[&str]) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::sqlite(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, found) = (number("application_id").map_err(failed)?, number("user_version").map_err(failed)?);
    let known = migrations.len() as i64 + 1;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let is_new = (application, found, tables) == (0, 0, 0);
    match (application, found) {
        (APPLICATION, newer) if newer > known => {
            return Err(OpenError::Newer { path: path.to_owned(), found: newer, known });
        }
        (APPLICATION, 1..) => {}
        _ if is_new => {}
        _ => return Err(OpenError::Foreign { path: path.to_owned() }),
    }
    for file in [path.to_owned(), with_suffix(path, "-wal"), with_suffix(path, "-shm")] {
        if file.exists() {
            private_file(&file).map_err(|source| OpenError::io(&file, source))?;
        }
    }
    configure(&connection, synchronous).map_err(failed)?;
    if is_new {
        stamp(&connection, CREATE, 1).map_err(failed)?;
    }
    let found = found.max(1);
    let due = migrations.get(usize::try_from(found - 1).unwrap_or(0)..).unwrap_or_default();
    if !due.is_empty() {
        back_up(&connection, &beside(path, &format!("format-{found}.backup")))?;
        for (migration, format) in due.iter().zip(found + 1..) {
            stamp(&connection, migration, format).map_err(failed)?;
        }
    }
    Ok(connection)
}

/// Runs statements and notes the format that they lead to, in one transaction.
fn stamp(connection: &Connection, statements: &str, format: i64) -> rusqlite::Result<()> {
    let pragmas = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {format};");
    let result = connection.execute_batch(&format!("BEGIN IMMEDIATE; {statements} {pragmas} COMMIT;"));
    if result.is_err() {
        // The first error is the one to tell; the transaction may be over already.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}

/// Copies the database as it is, whole and private.
fn back_up(connection: &Connection, to: &Path) -> Result<(), OpenError> {
    if to.exists() {
        // From an attempt that was cut off, or kept by the administrator: the older copy is the one to keep.
        return Ok(());
    }
    let partial = to.with_extension("partial");
    let made = || -> std::io::Result<()> {
        if partial.exists() {
            fs::remove_file(&partial)?;
        }
        private_file(&partial)?;
        connection.execute("VACUUM INTO ?1", [partial.to_string_lossy()]).map_err(std::io::Error::other)?;
        File::open(&partial)?.sync_all()?;
        fs::rename(&partial, to)?;
        sync_directory(to)
    };
    made().map_err(|source| OpenError::io(to, source))
}

fn configure(connection: &Connection, synchronous: Synchronous) -> rusqlite::Result<()> {
    let synchronous = match synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
        Synchronous::Off => "OFF",
    };
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    // The writer checkpoints by itself, so that it sees when that fails.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Opens the file for a reader.
pub(crate) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "cache_size", -2_048)?;
    Ok(connection)
}

/// Makes the file if it is not there; in any case it is private afterwards. SQLite gives the files beside it its mode.
fn private_file(path: &Path) -> std::io::Result<()> {
    let is_new = !path.exists();
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(MODE).open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != MODE {
        file.set_permissions(fs::Permissions::from_mode(MODE))?;
    }
    if is_new { sync_directory(path) } else { Ok(()) }
}

/// Makes the name of a file durable.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    with_suffix(path, &format!(".{suffix}"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_format_is_migrated_after_a_copy() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("state.sqlite");
        drop(open(&path, Synchronous::Off).expect("a new file"));
        let migrations = ["CREATE TABLE added (id INTEGER PRIMARY KEY) STRICT;"];
        let connection = open_with(&path, Synchronous::Off, &migrations).expect("migrated");
        let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a format");
        assert_eq!(format, 2);
        connection.execute("INSERT INTO added VALUES (1)", []).expect("the new table is there");
        drop(connection);

        let copy = beside(&path, "format-1.backup");
        assert_eq!(fs::metadata(&copy).expect("the copy").permissions().mode() & 0o777, MODE);
        open(&copy, Synchronous::Off).expect("the copy has the old format");
        let refused = open(&path, Synchronous::Off).expect_err("newer than this version");
        assert!(matches!(refused, OpenError::Newer { found: 2, known: 1, .. }), "{refused}");
    }

    #[test]
    fn a_failed_migration_leaves_the_file_as_it_was() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("state.sqlite");
        drop(open(&path, Synchronous::Off).expect("a new file"));
        let migrations = ["CREATE TABLE added (id INTEGER PRIMARY KEY) STRICT; SELECT no_such_function();"];
        open_with(&path, Synchronous::Off, &migrations).expect_err("the migration fails");
        let connection = open(&path, Synchronous::Off).expect("still format 1");
        connection.execute("INSERT INTO added VALUES (1)", []).expect_err("nothing of it is left");
    }

    #[test]
    fn files_of_other_programs_are_left_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("other.sqlite");
        Connection::open(&path).and_then(|other| other.execute_batch("CREATE TABLE t (a)")).expect("another's file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
        let before = fs::read(&path).expect("a file");
        assert!(matches!(open(&path, Synchronous::Off), Err(OpenError::Foreign { .. })));
        assert!(fs::read(&path).expect("a file") == before, "its journal mode is its owner's");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o644);
    }
}
