//! A directory: whole files only, through temporary ones; symbolic links and access lists as configured.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use crypto::SecretBytes;
use rustix::{
    fs::{self, AtFlags, CWD, FileType, FlockOperation, Gid, Mode, OFlags, ResolveFlags},
    io::Errno,
    process::{Pid, geteuid, getpid, test_kill_process},
};

use super::{DestinationError, acl, acl::AccessList};
use crate::config::{Acls, Directory, Symlinks};

/// More than any artifact has; a file of ours that is larger is not ours.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Files are for their owner only, unless an access list says more, or an administrator let a group read the one before.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// An open directory.
pub struct DirectorySink {
    path: PathBuf,
    handle: OwnedFd,
    symlinks: Symlinks,
    acls: Acls,
    readers: Option<AccessList>,
    attempt: AtomicU64,
    told: AtomicBool,
}

impl DirectorySink {
    pub(super) fn open(config: &Directory) -> Result<Self, DestinationError> {
        let path = config.path.clone();
        let handle = open_directory(&path, config.symlinks)?;
        let readers = match (config.acls, config.readers.as_slice()) {
            (Acls::Off, _) | (_, []) => None,
            (_, readers) => Some(AccessList::for_readers(readers, &path)?),
        };
        let (symlinks, acls, attempt, told) = (config.symlinks, config.acls, AtomicU64::new(0), AtomicBool::new(false));
        let sink = Self { path, handle, symlinks, acls, readers, attempt, told };
        sink.let_readers_in()?;
        sink.remove_leftovers();
        Ok(sink)
    }

    /// Removes what a process that was killed had half written: it may be a private key, and in a container, where the
    /// next process has the same id, it would stand in the way. Another process that lives may still be writing.
    fn remove_leftovers(&self) {
        let Ok(entries) = fs::Dir::read_from(&self.handle) else { return };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().to_str() else { continue };
            if temporary_of(name).is_some_and(|process| !lives_elsewhere(process)) {
                let _ = fs::unlinkat(&self.handle, name, AtFlags::empty());
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the directory is, whatever path led to it.
    pub(super) fn place(&self) -> Result<(u64, u64), DestinationError> {
        let found = fs::fstat(&self.handle).map_err(|error| DestinationError::io("look at", &self.path, error))?;
        Ok((found.st_dev, found.st_ino))
    }

    /// Says so when others than the owner may list or change what is here; the files themselves are 0600 anyway.
    pub(crate) fn warn_if_open_to_others(&self) {
        let Ok(found) = fs::fstat(&self.handle) else { return };
        let mode = found.st_mode & 0o777;
        if mode & 0o077 != 0 {
            tracing::warn!(
                directory = %self.path.display(),
                mode = format!("{mode:04o}"),
                "the bot's storage is open to others on this machine: chmod 700"
            );
        }
    }

    /// Takes the directory for this process; the lock goes with the returned file.
    pub(crate) fn lock(&self) -> Result<OwnedFd, DestinationError> {
        let path = self.path.join("lock");
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = fs::openat(&self.handle, "lock", flags, FILE_MODE)
            .map_err(|error| DestinationError::io("open", &path, error))?;
        match fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // For whoever finds it locked; the lock itself is the kernel's and needs no content.
                let said = fs::ftruncate(&file, 0).map_err(io::Error::from);
                let said = said.and_then(|()| {
                    rustix::io::write(&file, format!("{}\n", std::process::id()).as_bytes()).map_err(Into::into)
                });
                if let Err(error) = said {
                    tracing::debug!(%error, file = %path.display(), "the process id is not written");
                }
                Ok(file)
            }
            Err(Errno::WOULDBLOCK) => {
                Err(DestinationError::Locked { path: self.path.clone(), holder: holder(File::from(file)) })
            }
            Err(error) => Err(DestinationError::io("lock", path, error)),
        }
    }

    /// Replaces files, none of them before all are on the disk: a disk that is full changes nothing, and a process that is
    /// killed leaves files of two sets only when that happens between two renames.
    pub(super) fn write_all(&self, files: &[(&str, &[u8])]) -> Result<(), DestinationError> {
        let staged = files.iter().map(|(name, content)| self.stage(name, content));
        let mut staged = staged.collect::<Result<Vec<_>, _>>()?;
        staged.iter_mut().try_for_each(Staged::put)?;
        let directories = staged.iter().filter_map(|file| file.elsewhere.as_ref()).chain([&self.handle]);
        directories.into_iter().try_for_each(|directory| {
            fs::fsync(directory).map_err(|error| DestinationError::io("flush the directory of", &self.path, error))
        })
    }

    fn stage(&self, name: &str, content: &[u8]) -> Result<Staged<'_>, DestinationError> {
        let (elsewhere, name) = self.locate(name)?;
        let temporary = temporary(&name, self.attempt.fetch_add(1, Ordering::Relaxed));
        let staged = Staged { sink: self, elsewhere, name, temporary: Some(temporary.clone()) };
        let failed = |action: &'static str| move |error: Errno| (action, io::Error::from(error));
        let attempt = || -> Result<(), (&'static str, io::Error)> {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = fs::openat(staged.directory(), temporary.as_str(), flags, FILE_MODE);
            let mut file = File::from(file.map_err(failed("create a file for"))?);
            file.write_all(content).map_err(|error| ("write", error))?;
            fs::fchmod(&file, FILE_MODE).map_err(failed("set the mode of"))?;
            let access = self.keep_access(staged.directory(), &file, &staged.name);
            access.map_err(|error| ("keep the access list of", error))?;
            file.sync_all().map_err(|error| ("flush", error))
        };
        match attempt() {
            Ok(()) => Ok(staged),
            Err((action, error)) => Err(DestinationError::io(action, self.path.join(&staged.name), error)),
        }
    }

    /// Gives the new file the access that the old one had, or that the configured readers need.
    fn keep_access(&self, handle: &OwnedFd, file: &File, name: &str) -> io::Result<()> {
        let wanted = match (self.acls, &self.readers) {
            (Acls::Off, _) => None,
            (_, Some(readers)) => Some(readers.clone()),
            (_, None) => inherited(handle, name)?,
        };
        let Some(wanted) = wanted else {
            match reading_group(handle, name) {
                Some(group) => self.let_group_read(file, group, name)?,
                None => self.tell_of_readers(name),
            }
            return Ok(());
        };
        match acl::set(file, acl::ACCESS, &wanted).and_then(|()| acl::verify(file, &wanted)) {
            Err(error) if self.acls == Acls::Try => {
                tracing::warn!(file = %self.path.join(name).display(), %error, "cannot keep the access list");
                Ok(())
            }
            done => done,
        }
    }

    fn let_group_read(&self, file: &File, group: Gid, name: &str) -> io::Result<()> {
        match fs::fchown(file, None, Some(group)) {
            Ok(()) => Ok(fs::fchmod(file, FILE_MODE | Mode::RGRP)?),
            Err(error) => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        file = %self.path.join(name).display(),
                        group = group.as_raw(),
                        %error,
                        "the group that could read this file cannot any more: make the bot's user a member of it, or name \
                         it in readers"
                    );
                }
                Ok(())
            }
        }
    }

    /// Says once that a file is for the bot alone, though others were let into the directory to read.
    fn tell_of_readers(&self, name: &str) {
        let has_readers = self.acls != Acls::Off
            && acl::get(&self.handle, acl::ACCESS).is_ok_and(|list| list.is_some_and(|list| list.has_readers()));
        if has_readers && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                file = %self.path.join(name).display(),
                "a new file is for the bot alone, though others may read in this directory: run tbot init again, as before"
            );
        }
    }

    /// Lets the configured readers through the directory itself.
    fn let_readers_in(&self) -> Result<(), DestinationError> {
        let Some(readers) = &self.readers else { return Ok(()) };
        let wanted = readers.for_directory();
        match acl::set(&self.handle, acl::ACCESS, &wanted) {
            Err(error) if self.acls == Acls::Try => {
                tracing::warn!(directory = %self.path.display(), %error, "cannot keep the access list");
                Ok(())
            }
            done => done.map_err(|error| DestinationError::Acl { path: self.path.clone(), reason: error.to_string() }),
        }
    }

    pub(super) fn read(&self, name: &str) -> Result<Option<SecretBytes>, DestinationError> {
        let path = self.path.join(name);
        let (handle, name) = self.locate(name)?;
        // Not held up by a pipe that somebody put there.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match fs::openat(handle.as_ref().unwrap_or(&self.handle), name.as_str(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(DestinationError::Symlink { path }),
            Err(error) => return Err(DestinationError::io("open", path, error)),
        };
        let found = fs::fstat(&file).map_err(|error| DestinationError::io("look at", &path, error))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(DestinationError::io("read", path, Errno::INVAL));
        }
        let mut content = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut content).map_err(|error| DestinationError::io("read", path, error))?;
        Ok(Some(SecretBytes::new(content)))
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), DestinationError> {
        match fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {
                fs::fsync(&self.handle).map_err(|error| DestinationError::io("flush", &self.path, error))
            }
            Err(error) => Err(DestinationError::io("remove", self.path.join(name), error)),
        }
    }

    /// Where a file really is: with `insecure` the link's target, whose directory is opened too.
    fn locate(&self, name: &str) -> Result<(Option<OwnedFd>, String), DestinationError> {
        if self.symlinks != Symlinks::Insecure {
            return Ok((None, name.to_owned()));
        }
        let path = self.path.join(name);
        let Ok(target) = path.canonicalize() else { return Ok((None, name.to_owned())) };
        let (Some(parent), Some(file)) = (target.parent(), target.file_name().and_then(|file| file.to_str())) else {
            return Ok((None, name.to_owned()));
        };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let handle = fs::openat(CWD, parent, flags, Mode::empty());
        let handle = handle.map_err(|error| DestinationError::io("open", parent, error))?;
        Ok((Some(handle), file.to_owned()))
    }
}

/// A whole file on the disk under a name of its own. It may be a private key: it goes again unless it is put in its place.
struct Staged<'a> {
    sink: &'a DirectorySink,
    /// The directory that a link led to.
    elsewhere: Option<OwnedFd>,
    name: String,
    temporary: Option<String>,
}

impl Staged<'_> {
    fn directory(&self) -> &OwnedFd {
        self.elsewhere.as_ref().unwrap_or(&self.sink.handle)
    }

    fn put(&mut self) -> Result<(), DestinationError> {
        if let Some(temporary) = &self.temporary {
            let done = fs::renameat(self.directory(), temporary.as_str(), self.directory(), self.name.as_str());
            done.map_err(|error| DestinationError::io("replace", self.sink.path.join(&self.name), error))?;
        }
        self.temporary = None;
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // The error that ended the write is the one to report.
            let _ = fs::unlinkat(self.directory(), temporary.as_str(), AtFlags::empty());
        }
    }
}

/// What the process that holds a lock has written about itself.
fn holder(file: File) -> String {
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    match read.ok().and_then(|_| text.trim().parse::<u32>().ok()) {
        Some(process) => format!(" (process {process})"),
        None => String::new(),
    }
}

/// The file that becomes `name` once it is whole.
fn temporary(name: &str, number: u64) -> String {
    format!(".{name}.{}.{number}.tmp", std::process::id())
}

/// The process that a temporary file was written by, if it is one of ours.
fn temporary_of(name: &str) -> Option<i32> {
    let mut parts = name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplitn(3, '.');
    let (number, process) = (parts.next()?, parts.next()?);
    number.parse::<u64>().ok()?;
    parts.next().and_then(|_| process.parse().ok())
}

fn lives_elsewhere(process: i32) -> bool {
    match Pid::from_raw(process) {
        Some(pid) => pid != getpid() && test_kill_process(pid) != Err(Errno::SRCH),
        None => false,
    }
}

/// The access list of the file that is about to be replaced, with its owner in it when that is somebody else.
///
/// Whoever may create files here could lay one down whose list lets them read the key that replaces it. So a list is taken
/// from us, from root, and from the directory's owner in a directory that is not for everybody to write to.
fn inherited(handle: &OwnedFd, name: &str) -> io::Result<Option<AccessList>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let Ok(old) = fs::openat(handle, name, flags, Mode::empty()) else { return Ok(None) };
    let Ok(Some(mut list)) = acl::get(&old, acl::ACCESS) else { return Ok(None) };
    let (owner, ourselves, directory) = (fs::fstat(&old)?.st_uid, geteuid().as_raw(), fs::fstat(handle)?);
    let is_of_directory = owner == directory.st_uid && directory.st_mode & 0o002 == 0 && ourselves != 0;
    if owner != ourselves && owner != 0 && !is_of_directory {
        tracing::warn!(
            file = name,
            owner,
            "the access list of a file that is not ours is not taken over; run tbot init"
        );
        return Ok(None);
    }
    if owner != ourselves {
        list.allow_user(owner, acl::READ);
    }
    Ok(Some(list))
}

/// The group that an administrator lets read the file that is about to be replaced (`chgrp app key; chmod 640 key`).
///
/// Believed of a file of ours that has no other name, in a directory that only we and root write to: elsewhere somebody could
/// have put it there who reads another file of ours by its group. Beside an access list the mode's group bits are the list's
/// mask and say nothing of the group. A file that everybody has rights to comes from a umask or a copy: nobody meant its group.
fn reading_group(handle: &OwnedFd, name: &str) -> Option<Gid> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let old = fs::openat(handle, name, flags, Mode::empty()).ok()?;
    let (found, directory, ourselves) = (fs::fstat(&old).ok()?, fs::fstat(handle).ok()?, geteuid().as_raw());
    let is_own_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
        && (found.st_uid, found.st_nlink) == (ourselves, 1);
    let is_closed = [0, ourselves].contains(&directory.st_uid) && directory.st_mode & 0o022 == 0;
    let is_read = found.st_mode & 0o047 == 0o040 && acl::get(&old, acl::ACCESS).is_ok_and(|list| list.is_none());
    (is_own_file && is_closed && is_read).then(|| Gid::from_raw(found.st_gid))
}

/// Opens a directory that may have to be made; no link is followed unless that is wanted.
pub(super) fn open_directory(path: &Path, symlinks: Symlinks) -> Result<OwnedFd, DestinationError> {
    if !path.exists() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .create(path)
            .map_err(|error| DestinationError::io("create the directory", path, error))?;
        fs::chmod(path, Mode::RWXU).map_err(|error| DestinationError::io("set the mode of", path, error))?;
    }
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let plain = || {
        fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|error| DestinationError::io("open the directory", path, error))
    };
    if symlinks == Symlinks::Insecure {
        return plain();
    }
    match fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Ok(handle) => Ok(handle),
        Err(Errno::LOOP) => Err(DestinationError::Symlink { path: path.to_owned() }),
        // A kernel before 5.6, or a sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) if symlinks == Symlinks::TrySecure => {
            tracing::warn!(directory = %path.display(), "this kernel cannot refuse symbolic links; they are followed");
            plain()
        }
        Err(error) => Err(DestinationError::io("open the directory", path, error)),
    }
}
