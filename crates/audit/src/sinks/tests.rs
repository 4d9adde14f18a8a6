use std::{io::Write, os::unix::fs::PermissionsExt};

use clock::{ManualClock, Timestamp};

use super::*;

#[tokio::test]
async fn files_rotate_by_day_and_by_size_and_are_private() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("log");
    let clock = ManualClock::new("2026-05-01T23:59:59Z".parse::<Timestamp>().unwrap());
    let mut sink = FileSink::new(&at, clock.clock()).with_max_bytes(10);
    let line = |text: &'static str| vec![Bytes::from_static(text.as_bytes())];
    sink.write(&line(r#"{"n":1}"#)).await.unwrap();
    sink.write(&line(r#"{"n":2}"#)).await.unwrap();
    sink.write(&line(r#"{"n":3}"#)).await.unwrap();
    clock.advance(std::time::Duration::from_secs(1));
    sink.write(&line(r#"{"n":4}"#)).await.unwrap();
    let read = |name: &str| std::fs::read_to_string(at.join(name)).unwrap();
    assert_eq!(read("2026-05-01.1.log"), "{\"n\":1}\n{\"n\":2}\n");
    assert_eq!(read("2026-05-01.log"), "{\"n\":3}\n");
    assert_eq!(read("2026-05-02.log"), "{\"n\":4}\n");
    assert_eq!(read("events.log"), "{\"n\":4}\n");
    let mode = std::fs::metadata(at.join("2026-05-02.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_line_that_was_cut_off_takes_no_other_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new("2026-05-01T12:00:00Z".parse::<Timestamp>().unwrap());
    let mut sink = FileSink::new(directory.path(), clock.clock());
    let line = |text: &'static str| vec![Bytes::from_static(text.as_bytes())];
    sink.write(&line(r#"{"n":1}"#)).await.unwrap();
    let at = directory.path().join("2026-05-01.log");
    // The disk was full in the middle of the second record; with room again it comes once more.
    std::fs::OpenOptions::new().append(true).open(&at).unwrap().write_all(br#"{"n""#).unwrap();
    sink.write(&line(r#"{"n":2}"#)).await.unwrap();
    assert_eq!(std::fs::read_to_string(&at).unwrap(), "{\"n\":1}\n{\"n\"\n{\"n\":2}\n");
}
