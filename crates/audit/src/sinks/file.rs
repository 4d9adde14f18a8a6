//! The sink that writes to a file: a new one each day (UTC), or when it has grown too large; old ones are kept.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use clock::Clock;

use super::Sink;

/// A file of this size is closed and numbered.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Writes records to `<directory>/<date>.log`, mode 0600, with `events.log` a symbolic link to the newest.
#[derive(Debug)]
pub struct FileSink {
    name: String,
    directory: PathBuf,
    clock: Clock,
    max_bytes: u64,
}

impl FileSink {
    /// A sink for a directory, which is made (0700) if it is missing.
    pub fn new(directory: impl Into<PathBuf>, clock: Clock) -> Self {
        let directory = directory.into();
        Self { name: format!("file:{}", directory.display()), directory, clock, max_bytes: MAX_BYTES }
    }

    /// Another size at which a file is closed.
    pub fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }
}

#[async_trait]
impl Sink for FileSink {
    fn name(&self) -> &str {
        &self.name
    }

    async fn write(&mut self, lines: &[Bytes]) -> io::Result<()> {
        let (directory, max_bytes, lines) = (self.directory.clone(), self.max_bytes, lines.to_vec());
        let day = self.clock.now().strftime("%Y-%m-%d").to_string();
        let written = tokio::task::spawn_blocking(move || append(&directory, &day, max_bytes, &lines));
        written.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }
}

fn append(directory: &Path, day: &str, max_bytes: u64, lines: &[Bytes]) -> io::Result<()> {
    let mut file = open(directory, day, max_bytes)?;
    let mut text = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum::<usize>() + 1);
    if is_torn(&mut file)? {
        text.push(b'\n');
    }
    for line in lines {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    file.write_all(&text)?;
    file.sync_data()
}

/// Whether the last line has no end: the disk was full, or the process was killed. What follows needs a line of its own;
/// the record itself comes again.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Opens today's file; if it is full, that is moved to the next free number first.
fn open(directory: &Path, day: &str, max_bytes: u64) -> io::Result<File> {
    let name = format!("{day}.log");
    let path = directory.join(&name);
    if fs::metadata(&path).is_ok_and(|found| found.len() >= max_bytes) {
        let free = (1u32..).map(|number| directory.join(format!("{day}.{number}.log"))).find(|path| !path.exists());
        fs::rename(&path, free.ok_or(io::ErrorKind::AlreadyExists)?)?;
    }
    if !directory.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let is_new = !path.exists();
    let file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&path)?;
    if is_new {
        let (link, temporary) = (directory.join("events.log"), directory.join(".events.log.new"));
        let _ = fs::remove_file(&temporary);
        std::os::unix::fs::symlink(&name, &temporary)?;
        fs::rename(&temporary, &link)?;
    }
    Ok(file)
}
