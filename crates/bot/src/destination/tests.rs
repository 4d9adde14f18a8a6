use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::*;
use crate::config::{Acls, Directory, Reader, Symlinks};

fn directory(path: impl Into<PathBuf>) -> Directory {
    Directory { path: path.into(), symlinks: Symlinks::TrySecure, acls: Acls::Off, readers: Vec::new() }
}

fn home() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().canonicalize().expect("exists");
    (home, path)
}

#[test]
fn a_reader_sees_the_old_or_the_new_file_and_never_a_half() {
    let (_home, path) = home();
    let sink = Sink::open(&Destination::Directory(directory(&path))).expect("open");
    let (old, new) = (vec![b'a'; 200_000], vec![b'b'; 200_000]);
    sink.write("key", &old).expect("written");
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (stop, file, old, new) = (Arc::clone(&stop), path.join("key"), old.clone(), new.clone());
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let seen = fs::read(&file).expect("always there");
                assert!(seen == old || seen == new, "a half file of {} bytes", seen.len());
            }
        })
    };
    for round in 0..100 {
        sink.write("key", if round % 2 == 0 { &new } else { &old }).expect("written");
    }
    stop.store(true, Ordering::Relaxed);
    reader.join().expect("no half file");
    assert_eq!(fs::read_dir(&path).expect("listed").count(), 1, "nothing temporary is left");
}

#[test]
fn a_set_that_cannot_be_written_whole_changes_nothing() {
    let (_home, path) = home();
    let sink = Sink::open(&Destination::Directory(directory(&path))).expect("open");
    let too_long = "x".repeat(250);
    for last in ["tlscert", too_long.as_str()] {
        let done = sink.write_all(&[("key", last.as_bytes()), (last, b"x")]);
        assert_eq!(done.is_ok(), last == "tlscert", "{done:?}");
        assert_eq!(fs::read(path.join("key")).expect("there"), b"tlscert");
        assert_eq!(fs::read_dir(&path).expect("listed").count(), 2, "what was half written is not left");
    }
}

#[test]
fn files_and_new_directories_are_for_their_owner_only() {
    let (_home, path) = home();
    let inner = path.join("a/b");
    let sink = Sink::open(&Destination::Directory(directory(&inner))).expect("made");
    sink.write("key", b"x").expect("written");
    assert_eq!((mode_of(&inner), mode_of(&inner.join("key"))), (0o700, 0o600));
    fs::set_permissions(inner.join("key"), fs::Permissions::from_mode(0o604)).expect("widened");
    sink.write("key", b"y").expect("written");
    assert_eq!(mode_of(&inner.join("key")), 0o600, "what everybody may read does not stay so");
}

#[test]
fn a_group_that_was_let_in_stays_where_nobody_else_could_have_let_it_in() {
    let (_home, path) = home();
    let sink = Sink::open(&Destination::Directory(directory(&path))).expect("open");
    let (key, other) = (path.join("key"), path.join("other"));
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    let group = if rustix::process::geteuid().as_raw() == 0 { 12345 } else { rustix::process::getegid().as_raw() };
    let let_in = |at_first: u32| {
        let _ = fs::remove_file(&key);
        fs::write(&key, "old").expect("written");
        std::os::unix::fs::chown(&key, None, Some(group)).expect("chgrp");
        mode(&key, at_first);
    };
    let after = || {
        sink.write("key", b"new").expect("written");
        let found = fs::metadata(&key).expect("there");
        (found.mode() & 0o777, found.gid() == group)
    };
    for (at_first, expect) in [(0o640, 0o640), (0o660, 0o640), (0o644, 0o600), (0o600, 0o600), (0o620, 0o600)] {
        let_in(at_first);
        assert_eq!(after().0, expect, "{at_first:o}");
    }
    let_in(0o640);
    assert_eq!([after(), after()], [(0o640, true); 2], "with its group, again and again");
    fs::hard_link(&key, &other).expect("linked");
    assert_eq!(after().0, 0o600, "a file that is somewhere else, too");
    let_in(0o640);
    mode(&path, 0o770);
    assert_eq!(after().0, 0o600, "others move files in this directory");
    mode(&path, 0o700);
    let_in(0o640);
    let mut list = acl::AccessList::owner_only(acl::READ | acl::WRITE);
    list.allow_user(12345, acl::READ);
    acl::set(fs::File::open(&key).expect("there"), acl::ACCESS, &list).expect("a list");
    assert_eq!(mode_of(&key), 0o640, "the mask");
    assert_eq!(after().0, 0o600, "a list that let one user in, and no group");
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).expect("there").mode() & 0o777
}

#[test]
fn links_are_refused_unless_they_are_wanted() {
    let (_home, path) = home();
    fs::create_dir(path.join("real")).expect("made");
    symlink(path.join("real"), path.join("link")).expect("linked");
    let mut through = directory(path.join("link"));
    assert!(matches!(DirectorySink::open(&through), Err(DestinationError::Symlink { .. })));
    through.symlinks = Symlinks::Insecure;
    DirectorySink::open(&through).expect("followed").write_all(&[("key", b"x")]).expect("written");
    assert!(path.join("real/key").exists());

    let (target, real) = (path.join("target"), path.join("real"));
    fs::write(&target, b"theirs").expect("written");
    symlink(&target, real.join("planted")).expect("linked");
    let sink = DirectorySink::open(&directory(&real)).expect("open");
    assert!(matches!(sink.read("planted"), Err(DestinationError::Symlink { .. })));
    sink.write_all(&[("planted", b"ours")]).expect("the link itself is replaced");
    assert_eq!(fs::read(&target).expect("there"), b"theirs");

    symlink(&target, real.join("wanted")).expect("linked");
    through.path = real.clone();
    let sink = DirectorySink::open(&through).expect("open");
    sink.write_all(&[("wanted", b"ours")]).expect("written through the link");
    assert_eq!(fs::read(&target).expect("there"), b"ours");
    assert!(fs::symlink_metadata(real.join("wanted")).expect("there").is_symlink());
}

#[test]
fn one_process_holds_a_directory() {
    let (_home, path) = home();
    let (first, second) = (DirectorySink::open(&directory(&path)), DirectorySink::open(&directory(&path)));
    let (first, second) = (first.expect("open"), second.expect("open"));
    let held = first.lock().expect("free");
    assert!(matches!(second.lock(), Err(DestinationError::Locked { .. })));
    drop(held);
    second.lock().expect("free again");
}

#[test]
fn what_a_killed_process_had_half_written_goes() {
    let (_home, path) = home();
    let mut child = std::process::Command::new("true").spawn().expect("a child");
    child.wait().expect("ended");
    let (own, dead) = (std::process::id(), child.id());
    let leftovers =
        [format!(".key.{own}.0.tmp"), format!(".key-cert.pub.{dead}.7.tmp"), format!("..write-test.{dead}.0.tmp")];
    let others = [".key.1.0.tmp", ".tmp", ".key.tmp", ".key.0.tmp", "key", ".key.x.0.tmp"];
    for name in leftovers.iter().map(String::as_str).chain(others) {
        fs::write(path.join(name), b"half").expect("written");
    }
    let sink = Sink::open(&Destination::Directory(directory(&path))).expect("open");
    for name in &leftovers {
        assert!(!path.join(name).exists(), "{name} is still there");
    }
    for name in others {
        assert!(path.join(name).exists(), "{name} is not ours to remove");
    }
    sink.write("key", b"whole").expect("nothing stands in the way");
}

#[test]
fn readers_get_an_access_list_that_survives_rewriting() {
    let (_home, path) = home();
    let mut config = directory(&path);
    (config.acls, config.readers) = (Acls::Required, vec![Reader::User("12345".into())]);
    let sink = match DirectorySink::open(&config) {
        Ok(sink) => sink,
        // A file system without access lists: required must say so, and try must not fail.
        Err(DestinationError::Acl { .. }) => {
            config.acls = Acls::Try;
            DirectorySink::open(&config).expect("tried").write_all(&[("key", b"x")]).expect("written");
            return;
        }
        Err(other) => panic!("{other}"),
    };
    for _ in 0..2 {
        sink.write_all(&[("key", b"x")]).expect("written");
        let file = fs::File::open(path.join("key")).expect("there");
        let list = acl::get(&file, acl::ACCESS).expect("readable").expect("a list");
        assert_eq!(list, acl::AccessList::for_readers(&config.readers, &path).expect("a number"));
    }
}

#[test]
fn a_file_laid_down_by_somebody_else_does_not_open_the_key_to_them() {
    let (_keep, path) = home();
    if rustix::process::geteuid().as_raw() != 0 {
        assert!(
            option_env!("CI").is_none(),
            "run as root, or without CI set: only root lays down a file of another user"
        );
        return;
    }
    let config = Directory { acls: Acls::Try, ..directory(&path) };
    let sink = Sink::open(&Destination::Directory(config)).expect("a directory");
    fs::write(path.join("key"), "").expect("a file");
    let planted = fs::File::open(path.join("key")).expect("the file");
    let mut list = acl::AccessList::owner_only(acl::READ);
    list.allow_user(65534, acl::READ);
    acl::set(&planted, acl::ACCESS, &list).expect("a temporary directory that keeps access lists");
    std::os::unix::fs::chown(path.join("key"), Some(65534), Some(65534)).expect("chown");
    sink.write("key", b"secret").expect("written");
    let key = fs::File::open(path.join("key")).expect("the key");
    assert_eq!(acl::get(&key, acl::ACCESS).expect("readable"), None);
    assert_eq!(key.metadata().expect("metadata").mode() & 0o777, 0o600);
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_at_once() {
    let (_keep, path) = home();
    let sink = Sink::open(&Destination::Directory(directory(&path))).expect("a directory");
    let made = std::process::Command::new("mkfifo").arg(path.join("tlscert")).status().expect("mkfifo");
    assert!(made.success());
    assert!(sink.read("tlscert").is_err());
}

#[test]
fn init_prepares_the_files_and_names_the_others() {
    let (_home, path) = home();
    fs::write(path.join("stray"), b"x").expect("written");
    let config = directory(&path);
    let notes = init(&config, &["key", "tlscert"], &InitRequest::default()).expect("prepared");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("stray"), "{notes:?}");
    let key = fs::metadata(path.join("key")).expect("made");
    assert_eq!((key.len(), key.permissions().mode() & 0o777), (0, 0o600));
    let clean = InitRequest { clean: true, ..InitRequest::default() };
    init(&config, &["key", "tlscert"], &clean).expect("prepared");
    assert!(!path.join("stray").exists());
    let half = InitRequest { bot_user: Some("1".into()), ..InitRequest::default() };
    let notes = init(&config, &["key", "tlscert"], &half).expect("prepared");
    assert!(notes[0].contains("--bot-user=1 does nothing with acls: off"), "{notes:?}");
    let with_acls = Directory { acls: Acls::Required, ..config };
    assert!(matches!(init(&with_acls, &["key"], &half), Err(DestinationError::Invalid(_))));
    assert_eq!(key.uid(), rustix::process::geteuid().as_raw());
}

#[test]
fn init_gives_away_no_file_that_has_another_name() {
    let (_home, path) = home();
    let (theirs, ours) = (path.join("shadow"), path.join("bot"));
    fs::create_dir(&ours).expect("made");
    fs::write(&theirs, b"root's").expect("written");
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o644)).expect("a mode");
    fs::hard_link(&theirs, ours.join("key")).expect("linked");
    let refused = init(&directory(&ours), &["key"], &InitRequest::default()).expect_err("a hard link");
    assert!(matches!(&refused, DestinationError::Invalid(text) if text.contains("hard link")), "{refused}");
    assert_eq!(fs::metadata(&theirs).expect("there").permissions().mode() & 0o777, 0o644, "nothing was changed");
}

#[test]
fn one_directory_under_two_names_is_refused() {
    let (_home, path) = home();
    fs::create_dir(path.join("a")).expect("made");
    symlink(path.join("a"), path.join("link")).expect("linked");
    let open = |path: PathBuf| {
        let config = Directory { symlinks: Symlinks::Insecure, ..directory(path) };
        Sink::open(&Destination::Directory(config)).expect("open")
    };
    let (memory, first, other) = (Sink::Memory(Mutex::default()), open(path.join("a")), open(path.join("b")));
    Sink::check_apart([("storage", &first), ("one", &other), ("two", &memory), ("three", &memory)]).expect("apart");
    for again in ["a/", "b/../a", "link"] {
        let again = open(path.join(again));
        let refused = Sink::check_apart([("storage", &first), ("one", &other), ("two", &again)]).expect_err("the same");
        assert!(refused.to_string().starts_with("two and storage share a destination"), "{refused}");
    }
}
