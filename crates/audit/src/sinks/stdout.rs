//! The sink that writes to standard output.

use std::io::{self, Write};

use async_trait::async_trait;
use bytes::Bytes;

use super::Sink;

/// Writes records to standard output.
#[derive(Debug, Default)]
pub struct StdoutSink;

#[async_trait]
impl Sink for StdoutSink {
    fn name(&self) -> &str {
        "stdout"
    }

    async fn write(&mut self, lines: &[Bytes]) -> io::Result<()> {
        let lines = lines.to_vec();
        // A reader that does not read must not hold up a worker of the runtime.
        let written = tokio::task::spawn_blocking(move || {
            let mut out = io::stdout().lock();
            for line in lines {
                out.write_all(&line)?;
                out.write_all(b"\n")?;
            }
            out.flush()
        });
        written.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }
}
