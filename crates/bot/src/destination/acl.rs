//! POSIX access lists in the kernel's own form: `system.posix_acl_access`, little endian, version 2.

use std::{io, os::fd::AsFd, path::Path};

use rustix::{
    fs::{XattrFlags, fgetxattr, fsetxattr},
    io::Errno,
};

use super::{DestinationError, names};
use crate::config::Reader;

/// The list of a file or directory itself.
pub(super) const ACCESS: &str = "system.posix_acl_access";

/// Read.
pub(super) const READ: u16 = 4;
/// Write.
pub(super) const WRITE: u16 = 2;
/// Execute, or pass through a directory.
pub(super) const PASS: u16 = 1;

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const UNDEFINED: u32 = u32::MAX;

/// An access list; entries in the order that the kernel wants: by tag, then by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccessList(Vec<Entry>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tag: u16,
    id: u32,
    permissions: u16,
}

impl AccessList {
    /// Nobody but the owner.
    pub(super) fn owner_only(permissions: u16) -> Self {
        let entry = |tag, permissions| Entry { tag, id: UNDEFINED, permissions };
        Self(vec![entry(USER_OBJ, permissions), entry(GROUP_OBJ, 0), entry(OTHER, 0)])
    }

    /// The owner, and these readers.
    pub(super) fn for_readers(readers: &[Reader], directory: &Path) -> Result<Self, DestinationError> {
        let place = format!("readers of {}", directory.display());
        let mut list = Self::owner_only(READ | WRITE);
        for reader in readers {
            match reader {
                Reader::User(name) => list.allow(USER, names::user(name, &place)?.id, READ),
                Reader::Group(name) => list.allow(GROUP, names::group(name, &place)?, READ),
            }
        }
        Ok(list)
    }

    /// Whether somebody may read and not write, as readers of artifacts do.
    pub(super) fn has_readers(&self) -> bool {
        let named = self.0.iter().filter(|entry| [USER, GROUP].contains(&entry.tag));
        named.map(|entry| entry.permissions & (READ | WRITE)).any(|permissions| permissions == READ)
    }

    /// Adds a user, or widens what the user may do.
    pub(super) fn allow_user(&mut self, id: u32, permissions: u16) {
        self.allow(USER, id, permissions);
    }

    fn allow(&mut self, tag: u16, id: u32, permissions: u16) {
        match self.0.iter_mut().find(|entry| (entry.tag, entry.id) == (tag, id)) {
            Some(entry) => entry.permissions |= permissions,
            None => self.0.push(Entry { tag, id, permissions }),
        }
        self.0.retain(|entry| entry.tag != MASK);
        let mask = self.0.iter().filter(|entry| [USER, GROUP, GROUP_OBJ].contains(&entry.tag));
        let mask = mask.fold(0, |mask, entry| mask | entry.permissions);
        self.0.push(Entry { tag: MASK, id: UNDEFINED, permissions: mask });
        self.0.sort_unstable();
    }

    /// The same people on the directory: whoever reads a file passes and lists, whoever writes one writes.
    pub(super) fn for_directory(&self) -> Self {
        let pass = |entry: &Entry| {
            let passes = entry.permissions & READ != 0 && entry.tag != OTHER;
            Entry { permissions: entry.permissions | if passes { PASS } else { 0 }, ..*entry }
        };
        Self(self.0.iter().map(pass).collect())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend(entry.tag.to_le_bytes());
            bytes.extend(entry.permissions.to_le_bytes());
            bytes.extend(entry.id.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, entries) = bytes.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*version) != VERSION || entries.len() % 8 != 0 {
            return None;
        }
        let entry = |bytes: &[u8]| {
            let (tag, rest) = bytes.split_first_chunk::<2>()?;
            let (permissions, id) = rest.split_first_chunk::<2>()?;
            let id = u32::from_le_bytes(*id.first_chunk::<4>()?);
            Some(Entry { tag: u16::from_le_bytes(*tag), permissions: u16::from_le_bytes(*permissions), id })
        };
        entries.chunks_exact(8).map(entry).collect::<Option<Vec<_>>>().map(Self)
    }
}

/// Reads a list; nothing when the file has only a mode, or the file system no lists.
pub(super) fn get(file: impl AsFd, which: &str) -> io::Result<Option<AccessList>> {
    let mut buffer = vec![0_u8; 8 * 1024];
    match fgetxattr(file, which, buffer.as_mut_slice()) {
        Ok(length) => Ok(AccessList::from_bytes(&buffer[..length])),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes a list; the mode's group bits become its mask.
pub(super) fn set(file: impl AsFd, which: &str, list: &AccessList) -> io::Result<()> {
    Ok(fsetxattr(file, which, &list.to_bytes(), XattrFlags::empty())?)
}

/// Whether the list is really there: some file systems take it and forget it.
pub(super) fn verify(file: impl AsFd, wanted: &AccessList) -> io::Result<()> {
    match get(file, ACCESS)? {
        Some(found) if found == *wanted => Ok(()),
        // The kernel drops a list that says no more than the mode does.
        None if wanted.0.len() == 3 => Ok(()),
        _ => Err(io::Error::other("the file system did not keep it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_form_is_written_and_read_back() {
        let readers = [Reader::Group("33".into()), Reader::User("1000".into()), Reader::User("7".into())];
        let list = AccessList::for_readers(&readers, Path::new("/d")).expect("numbers");
        let tags: Vec<_> = list.0.iter().map(|entry| (entry.tag, entry.id, entry.permissions)).collect();
        let none = UNDEFINED;
        assert_eq!(
            tags,
            [(1, none, 6), (2, 7, 4), (2, 1000, 4), (4, none, 0), (8, 33, 4), (0x10, none, 4), (0x20, none, 0)]
        );
        assert_eq!(AccessList::from_bytes(&list.to_bytes()), Some(list.clone()));
        assert_eq!(AccessList::from_bytes(&list.to_bytes()[1..]), None);
        assert!(list.has_readers() && !AccessList::owner_only(READ).has_readers());
        let mut writer = AccessList::owner_only(READ | WRITE);
        writer.allow_user(7, READ | WRITE | PASS);
        assert!(!writer.has_readers(), "the bot itself");
        let directory = list.for_directory();
        assert!(directory.has_readers());
        assert_eq!(directory.0[1].permissions, READ | PASS);
        assert_eq!(directory.0[6].permissions, 0);
    }
}
