//! The data directory: ours alone, in one process, with an identity of its own.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crypto::Random;
use rustix::fs::{FlockOperation, flock};

/// The directory's mode. Nobody else lists it, but others may walk through: the bot of this machine keeps its own
/// directory in here by default.
const MODE: u32 = 0o711;

/// Where the bot of this machine keeps its own by default. Whom it lets in is its own business, also as the same user.
const OF_THE_BOT: &str = "bot";

/// What others may do with something of ours in the directory: whoever reads all of it reads CA keys.
const OF_OTHERS: u32 = 0o077;

/// A checked data directory, locked for as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    host_uuid: String,
    _lock: File,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be made, read or written.
    #[error("data directory {} cannot be used: {action}", path.display())]
    Access {
        /// The directory, or the file in it.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is not a directory; choose another place with teleport.data_dir", .0.display())]
    NoDirectory(PathBuf),
    /// Somebody else's.
    #[error(
        "data directory {} belongs to user {owner}, but this process runs as user {user}; start it as user {owner}, \
         or change the owner with \"chown -R --from={owner} {user} {}\"", path.display(), path.display()
    )]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Ourselves.
        user: u32,
    },
    /// Another process holds the lock.
    #[error("data directory {} is in use by another process{holder}; stop it first", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
        /// ` (pid N)`, when it is known.
        holder: String,
    },
    /// The host id was damaged.
    #[error("{} does not hold a UUID; restore it from a backup, or remove it to get a new host id", .0.display())]
    HostId(PathBuf),
}

impl DataDir {
    /// Makes the directory when it is missing, checks and locks it, and reads or makes the host's id.
    ///
    /// # Errors
    /// When the directory belongs to somebody else, is in use, or cannot be written.
    pub fn open(path: &Path, random: &Random) -> Result<Self, Error> {
        create(path)?;
        check_owner(path)?;
        let lock = lock(path)?;
        close_to_others(path)?;
        let host_uuid = host_uuid(path, random)?;
        Ok(Self { path: path.to_owned(), host_uuid, _lock: lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The id of this host, made at the first start.
    pub fn host_uuid(&self) -> &str {
        &self.host_uuid
    }
}

fn access(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Access { path, action, source }
}

fn create(path: &Path) -> Result<(), Error> {
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Err(Error::NoDirectory(path.to_owned())),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().recursive(true).mode(MODE).create(path).map_err(access(path, "create it"))
        }
        Err(error) => Err(access(path, "look at it")(error)),
    }
}

/// Refuses another user's directory, and lets others walk through ours and no more.
fn check_owner(path: &Path) -> Result<(), Error> {
    let found = fs::metadata(path).map_err(access(path, "look at it"))?;
    let user = rustix::process::geteuid().as_raw();
    if found.uid() != user {
        return Err(Error::Owner { path: path.to_owned(), owner: found.uid(), user });
    }
    if found.mode() & 0o777 != MODE {
        fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(access(path, "set its mode to 0711"))?;
    }
    Ok(())
}

/// What we write is closed from the start; what somebody put back from a copy may not be. What belongs to others in here
/// is theirs.
fn close_to_others(path: &Path) -> Result<(), Error> {
    let user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(path).map_err(access(path, "list it"))? {
        let entry = entry.map_err(access(path, "list it"))?;
        if entry.file_name() == OF_THE_BOT {
            continue;
        }
        match close(&entry.path(), user) {
            // Somebody who shares the directory has removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done.map_err(access(&entry.path(), "close it to others"))?,
        }
    }
    Ok(())
}

fn close(path: &Path, user: u32) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.uid() != user || found.is_symlink() || found.mode() & OF_OTHERS == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(found.mode() & 0o777 & !OF_OTHERS))
}

/// Takes the lock of the directory; the kernel releases it with the process, however that ends.
fn lock(path: &Path) -> Result<File, Error> {
    let file_path = path.join("lock");
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&file_path)
        .map_err(access(&file_path, "open its lock"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let pid = fs::read_to_string(&file_path).unwrap_or_default();
            let holder = pid.trim().parse::<u32>().map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            return Err(Error::Busy { path: path.to_owned(), holder });
        }
        Err(error) => return Err(access(&file_path, "lock it")(error.into())),
    }
    // For whoever finds it locked; the lock itself is the kernel's and needs no content. A disk may be full.
    if let Err(error) = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
        tracing::debug!(%error, file = %file_path.display(), "the process id is not written");
    }
    Ok(file)
}

fn host_uuid(directory: &Path, random: &Random) -> Result<String, Error> {
    let path = directory.join("host_uuid");
    match fs::read_to_string(&path) {
        Ok(text) => uuid::Uuid::parse_str(text.trim()).map(|id| id.to_string()).map_err(|_| Error::HostId(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = random.uuid().to_string();
            write_durably(&path, id.as_bytes()).map_err(access(&path, "write the host id"))?;
            Ok(id)
        }
        Err(error) => Err(access(&path, "read the host id")(error)),
    }
}

/// Writes a file so that after a crash there is the old one or the whole new one, mode 0600.
pub(crate) fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let temporary = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_can_be_walked_through_and_keeps_its_id() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = DataDir::open(&path, &Random::system()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o711);
        assert_eq!(fs::metadata(path.join("host_uuid")).unwrap().mode() & 0o777, 0o600);
        let id = first.host_uuid().to_owned();
        drop(first);
        assert_eq!(DataDir::open(&path, &Random::system()).unwrap().host_uuid(), id);
    }

    #[test]
    fn an_open_directory_is_closed_to_others_with_all_of_ours_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let (backend, key) = (directory.path().join("backend"), directory.path().join("sealing.key"));
        let bot = directory.path().join("bot");
        fs::create_dir(&backend).unwrap();
        fs::create_dir(&bot).unwrap();
        fs::write(&key, "secret").unwrap();
        std::os::unix::fs::symlink("/", directory.path().join("link")).unwrap();
        for (path, mode) in [(directory.path(), 0o755), (&backend, 0o755), (&bot, 0o750), (&key, 0o644)] {
            set(path, mode);
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        let _held = DataDir::open(directory.path(), &Random::system()).unwrap();
        for (path, expected) in [(directory.path(), 0o711), (&backend, 0o700), (&bot, 0o750), (&key, 0o600)] {
            assert_eq!(mode(path), expected, "{}", path.display());
        }
        set(&key, 0o644);
        DataDir::open(directory.path(), &Random::system()).unwrap_err();
        assert_eq!(mode(&key), 0o644, "who does not get the directory changes nothing in it");
    }

    #[test]
    fn a_file_that_is_removed_meanwhile_keeps_nothing_from_starting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let files: Vec<_> = (0..50).map(|number| path.join(format!("{number}.tmp"))).collect();
                    files.iter().for_each(|file| fs::write(file, "").unwrap());
                    files.iter().for_each(|file| fs::remove_file(file).unwrap());
                }
            });
            let opened = (0..100).try_for_each(|_| DataDir::open(path, &Random::system()).map(drop));
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            opened.unwrap();
        });
    }

    #[test]
    fn a_second_process_is_refused_with_the_pid_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataDir::open(directory.path(), &Random::system()).unwrap();
        let error = DataDir::open(directory.path(), &Random::system()).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by another process (pid {})", std::process::id())), "{error}");
        drop(first);
        DataDir::open(directory.path(), &Random::system()).unwrap();
    }

    #[test]
    fn a_lock_that_the_pid_cannot_be_written_to_is_a_lock() {
        let directory = tempfile::tempdir().unwrap();
        // It can be locked, and not be cut: as a file on a full disk can be locked, and not be written.
        let (pipe, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600));
        rustix::fs::mknodat(rustix::fs::CWD, directory.path().join("lock"), pipe, mode, 0).unwrap();
        DataDir::open(directory.path(), &Random::system()).unwrap();
    }

    #[test]
    fn damage_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("host_uuid"), "junk").unwrap();
        assert!(matches!(DataDir::open(directory.path(), &Random::system()), Err(Error::HostId(_))));
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(DataDir::open(&file, &Random::system()), Err(Error::NoDirectory(_))));
    }
}
