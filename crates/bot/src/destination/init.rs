//! `tbot init`: prepares a directory, so that one user writes the artifacts and another reads them.

use std::{
    fs::File,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Uid},
    process,
};

use super::{
    DestinationError,
    acl::{self, AccessList},
    directory::open_directory,
    names::{self, User},
};
use crate::config::{Acls, Directory};

/// What `tbot init` is told.
#[derive(Debug, Clone, Default)]
pub struct InitRequest {
    /// The user that tbot runs as.
    pub bot_user: Option<String>,
    /// The user that reads the artifacts.
    pub reader_user: Option<String>,
    /// Who is to own the files: `user:group`.
    pub owner: Option<String>,
    /// Remove files that do not belong there.
    pub clean: bool,
}

/// Prepares a directory for these artifacts. The returned lines are for the person at the terminal.
///
/// # Errors
/// See [`DestinationError`].
pub fn init(directory: &Directory, artifacts: &[&str], request: &InitRequest) -> Result<Vec<String>, DestinationError> {
    let mut notes = Vec::new();
    let handle = open_directory(&directory.path, directory.symlinks)?;
    let users = users(directory, request)?;
    if directory.acls == Acls::Off {
        let ignored = [("--bot-user", &request.bot_user), ("--reader-user", &request.reader_user)];
        notes.extend(ignored.into_iter().filter_map(|(flag, given)| given.as_ref().map(|name| (flag, name))).map(
            |(flag, name)| {
                format!("warning: {flag}={name} does nothing with acls: off; --owner says whose the files are")
            },
        ));
    }
    let users = match (users, probe(&handle)) {
        (Some(users), Ok(())) => Some(users),
        (Some(_), Err(error)) if directory.acls == Acls::Required => {
            return Err(DestinationError::Acl { path: directory.path.clone(), reason: error.to_string() });
        }
        (Some(_), Err(error)) => {
            notes.push(format!("warning: no access lists here ({error}); plain permissions are used"));
            None
        }
        (None, _) => None,
    };
    let owner = owner(request, users)?;
    if let Some((_, reader)) = users.filter(|(_, reader)| reader.id == owner.id) {
        notes.push(format!("warning: the reader (uid {}) owns the files; OpenSSH refuses such keys", reader.id));
    }
    for name in artifacts {
        let file = create(&handle, directory, name)?;
        own(&file, owner, &directory.path.join(name))?;
        permit(&file, Mode::RUSR | Mode::WUSR, users, acl::READ | acl::WRITE, acl::READ, &directory.path.join(name))?;
    }
    report_others(&handle, directory, artifacts, request.clean, &mut notes)?;
    own(&handle, owner, &directory.path)?;
    let (bot, reader) = (acl::READ | acl::WRITE | acl::PASS, acl::READ | acl::PASS);
    permit(&handle, Mode::RWXU, users, bot, reader, &directory.path)?;
    fs::fsync(&handle).map_err(|error| DestinationError::io("flush", &directory.path, error))?;
    Ok(notes)
}

/// The bot's user and the reader, when access lists are to be used.
fn users(directory: &Directory, request: &InitRequest) -> Result<Option<(User, User)>, DestinationError> {
    if directory.acls == Acls::Off {
        return Ok(None);
    }
    match (&request.bot_user, &request.reader_user) {
        (Some(bot), Some(reader)) => Ok(Some((names::user(bot, "--bot-user")?, names::user(reader, "--reader-user")?))),
        (None, None) if directory.acls == Acls::Try => Ok(None),
        _ => Err(DestinationError::Invalid(
            "--bot-user and --reader-user are both needed for access lists; or set acls: off".into(),
        )),
    }
}

/// `--owner user:group`, else the bot's user, else ourselves.
fn owner(request: &InitRequest, users: Option<(User, User)>) -> Result<User, DestinationError> {
    if let Some(owner) = &request.owner {
        let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
        let user = names::user(user, "--owner")?;
        let group = if group.is_empty() { user.group } else { names::group(group, "--owner")? };
        return Ok(User { id: user.id, group });
    }
    let ourselves = User { id: process::geteuid().as_raw(), group: process::getegid().as_raw() };
    Ok(users.map_or(ourselves, |(bot, _)| bot))
}

/// Whether this file system keeps access lists.
fn probe(handle: &OwnedFd) -> Result<(), std::io::Error> {
    let name = ".acl-test";
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = fs::openat(handle, name, flags, Mode::RUSR | Mode::WUSR)?;
    let mut list = AccessList::owner_only(acl::READ | acl::WRITE);
    list.allow_user(process::geteuid().as_raw(), acl::READ);
    let kept = acl::set(&file, acl::ACCESS, &list).and_then(|()| acl::verify(&file, &list));
    fs::unlinkat(handle, name, AtFlags::empty())?;
    kept
}

/// An empty file where there is none, so that the bot later only overwrites.
///
/// A file with another name elsewhere is refused: whoever may write here could have laid down a hard link to one of root's,
/// and root would give it away.
fn create(handle: &OwnedFd, directory: &Directory, name: &str) -> Result<File, DestinationError> {
    let path = || directory.path.join(name);
    // Not held up by a pipe that somebody put there.
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = fs::openat(handle, name, flags, Mode::RUSR | Mode::WUSR).map_err(|error| match error {
        rustix::io::Errno::LOOP => DestinationError::Symlink { path: path() },
        error => DestinationError::io("create", path(), error),
    })?;
    let found = fs::fstat(&file).map_err(|error| DestinationError::io("look at", path(), error))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile || found.st_nlink != 1 {
        let message = format!("{} is no file of its own (a hard link, or a device): remove it", path().display());
        return Err(DestinationError::Invalid(message));
    }
    Ok(File::from(file))
}

fn own(file: impl std::os::fd::AsFd, owner: User, path: &Path) -> Result<(), DestinationError> {
    let found = fs::fstat(&file).map_err(|error| DestinationError::io("look at", path, error))?;
    if (found.st_uid, found.st_gid) == (owner.id, owner.group) {
        return Ok(());
    }
    fs::fchown(&file, Some(Uid::from_raw(owner.id)), Some(Gid::from_raw(owner.group)))
        .map_err(|error| DestinationError::io("change the owner (run tbot init as root) of", path, error))
}

fn permit(
    file: impl std::os::fd::AsFd,
    mode: Mode,
    users: Option<(User, User)>,
    for_bot: u16,
    for_reader: u16,
    path: &Path,
) -> Result<(), DestinationError> {
    let Some((bot, reader)) = users else {
        return fs::fchmod(&file, mode).map_err(|error| DestinationError::io("set the mode of", path, error));
    };
    let mut list = AccessList::owner_only(for_bot);
    list.allow_user(bot.id, for_bot);
    list.allow_user(reader.id, for_reader);
    acl::set(&file, acl::ACCESS, &list)
        .and_then(|()| acl::verify(&file, &list))
        .map_err(|error| DestinationError::Acl { path: PathBuf::from(path), reason: error.to_string() })
}

/// Names what else lies there, and removes it when asked to.
fn report_others(
    handle: &OwnedFd,
    directory: &Directory,
    artifacts: &[&str],
    clean: bool,
    notes: &mut Vec<String>,
) -> Result<(), DestinationError> {
    let failed = |error| DestinationError::io("list", &directory.path, error);
    for entry in fs::Dir::read_from(handle).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if [".", ".."].contains(&name) || artifacts.contains(&name) {
            continue;
        }
        let path = directory.path.join(name);
        if !clean {
            notes.push(format!("warning: unexpected file {}; --clean removes it", path.display()));
        } else if entry.file_type() == FileType::Directory {
            notes.push(format!("warning: {} is a directory and is left alone", path.display()));
        } else {
            fs::unlinkat(handle, name, AtFlags::empty())
                .map_err(|error| DestinationError::io("remove", &path, error))?;
            notes.push(format!("removed {}", path.display()));
        }
    }
    Ok(())
}
