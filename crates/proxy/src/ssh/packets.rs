//! SSH's binary packets over a stream (RFC 4253 §6), in the clear until there are keys.

use std::{io, time::Duration};

use bytes::{Buf, BytesMut};
use clock::Clock;
use crypto::ssh::packet::{PacketKey, TAG_LEN};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::invalid;

/// The longest packet that is read, as its own length tells (RFC 4253 §6.1 asks for this much).
const LONGEST: usize = 35_000;

/// What comes before the first packet: `SSH-2.0-…`, with its line end (RFC 4253 §4.2).
const LONGEST_VERSION: usize = 255;

/// How long bytes to a client may take. One that reads nothing must not hold a connection for ever.
const WRITE_WITHIN: Duration = Duration::from_secs(60);

/// Bytes under one key, either way: 2³² blocks of AES (RFC 4344 §3.2). Clients ask for new keys before.
const MOST_UNDER_ONE_KEY: u64 = 16 << 32;

/// Room for what is read at once.
const READ: usize = 16 * 1024;

/// The block that padding fills up, before there are keys and after.
const BLOCKS: [usize; 2] = [8, 16];

/// The fewest bytes of padding.
const LEAST_PADDING: usize = 4;

/// A stream of packets.
pub(super) struct Packets<S> {
    stream: S,
    clock: Clock,
    unread: BytesMut,
    unsent: Vec<u8>,
    opening: Option<PacketKey>,
    sealing: Option<PacketKey>,
    received: u64,
    sent: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Packets<S> {
    pub(super) fn new(stream: S, clock: Clock) -> Self {
        let (unread, unsent) = (BytesMut::new(), Vec::new());
        Self { stream, clock, unread, unsent, opening: None, sealing: None, received: 0, sent: 0 }
    }

    /// A stream of which `bytes` have been read.
    #[cfg(feature = "fuzzing")]
    pub(super) fn with_unread(stream: S, clock: Clock, bytes: &[u8]) -> Self {
        Self { unread: bytes.into(), ..Self::new(stream, clock) }
    }

    /// Sends our version line and reads the client's, without its end.
    pub(super) async fn exchange_versions(&mut self, own: &str) -> io::Result<Vec<u8>> {
        self.unsent.extend_from_slice(format!("{own}\r\n").as_bytes());
        self.flush().await?;
        let end = loop {
            match self.unread.iter().position(|byte| *byte == b'\n') {
                Some(end) => break end,
                None if self.unread.len() >= LONGEST_VERSION => return Err(invalid("the version is too long")),
                None => self.read().await?,
            }
        };
        let mut line = self.unread.split_to(end + 1).to_vec();
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.len() > LONGEST_VERSION || !line.starts_with(b"SSH-2.0-") {
            return Err(invalid("another version of SSH"));
        }
        Ok(line)
    }

    /// The next payload. Can be dropped while it waits.
    pub(super) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(payload) = self.next()? {
                return Ok(payload);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        if self.unread.capacity() - self.unread.len() < READ / 4 {
            self.unread.reserve(READ);
        }
        if self.stream.read_buf(&mut self.unread).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The payload at the front of what was read, when it is there as a whole.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(head) = self.unread.first_chunk::<4>().copied() else { return Ok(None) };
        let length = u32::from_be_bytes(head) as usize;
        let (block, tag, clear) = match self.opening {
            None => (BLOCKS[0], 0, 4),
            Some(_) => (BLOCKS[1], TAG_LEN, 0),
        };
        if !(1 + LEAST_PADDING..=LONGEST).contains(&length) || !(length + clear).is_multiple_of(block) {
            return Err(invalid("a packet of a length that cannot be"));
        }
        if self.unread.len() < 4 + length + tag {
            // At most one packet is waited for, so at most one is held.
            self.unread.reserve(4 + length + tag - self.unread.len());
            return Ok(None);
        }
        self.unread.advance(4);
        let mut packet = self.unread.split_to(length + tag);
        count(&mut self.received, length)?;
        let body: &[u8] = match &mut self.opening {
            None => &packet,
            Some(key) => key.open(head, &mut packet).map_err(|_| invalid("a packet that was altered"))?,
        };
        let padding = body.first().map_or(usize::MAX, |padding| usize::from(*padding));
        match length.checked_sub(1 + padding) {
            Some(end @ 1..) if padding >= LEAST_PADDING => Ok(Some(body[1..=end].to_vec())),
            _ => Err(invalid("a packet without a message")),
        }
    }

    /// Puts a payload behind what waits to be sent.
    pub(super) fn queue(&mut self, payload: &[u8]) -> io::Result<()> {
        let (block, clear) = match self.sealing {
            None => (BLOCKS[0], 4),
            Some(_) => (BLOCKS[1], 0),
        };
        let bare = 1 + payload.len() + LEAST_PADDING;
        let length = (bare + clear).next_multiple_of(block) - clear;
        count(&mut self.sent, length)?;
        let head = u32::try_from(length).map_err(io::Error::other)?.to_be_bytes();
        let padding = u8::try_from(length - 1 - payload.len()).map_err(io::Error::other)?;
        self.unsent.extend_from_slice(&head);
        let start = self.unsent.len();
        self.unsent.push(padding);
        self.unsent.extend_from_slice(payload);
        // Padding hides nothing that the length does not tell, and is encrypted or public: zeros do.
        self.unsent.resize(start + length, 0);
        if let Some(key) = &mut self.sealing {
            let tag = key.seal(head, &mut self.unsent[start..]).map_err(io::Error::other)?;
            self.unsent.extend_from_slice(&tag);
        }
        Ok(())
    }

    /// Bytes that wait to be sent.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Sends what waits.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let send = async {
            self.stream.write_all(&self.unsent).await?;
            self.stream.flush().await
        };
        let sent = self.clock.timeout(WRITE_WITHIN, send).await;
        self.unsent.clear();
        sent.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Encrypts what is queued from now on.
    pub(super) fn seal_with(&mut self, key: PacketKey) {
        self.sealing = Some(key);
        self.sent = 0;
    }

    /// Decrypts what comes from now on.
    pub(super) fn open_with(&mut self, key: PacketKey) {
        self.opening = Some(key);
        self.received = 0;
    }

    /// Bytes under the present keys, both ways.
    pub(super) fn carried(&self) -> u64 {
        self.received + self.sent
    }

    /// Sends what waits, and the end.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.shutdown().await
    }
}

fn count(bytes: &mut u64, length: usize) -> io::Result<()> {
    *bytes = bytes.saturating_add(length as u64);
    if *bytes > MOST_UNDER_ONE_KEY { Err(invalid("too many bytes without new keys")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::ssh::packet::{Cipher, IV_LEN};

    #[tokio::test]
    async fn payloads_arrive_as_they_were_sent_in_the_clear_and_sealed() {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (mut near, mut far) = (Packets::new(near, Clock::system()), Packets::new(far, Clock::system()));
        for sealed in [false, true] {
            if sealed {
                let key = || PacketKey::new(Cipher::Aes128Gcm, &[7; 16], [9; IV_LEN]).unwrap();
                near.seal_with(key());
                far.open_with(key());
            }
            for length in (1..70).chain([1000, 32_768]) {
                let payload: Vec<u8> = (0..length).map(|n: usize| n.to_le_bytes()[0]).collect();
                near.queue(&payload).unwrap();
                near.flush().await.unwrap();
                assert_eq!(far.receive().await.unwrap(), payload);
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_packet_ends_the_stream_at_once() {
        for (bytes, what) in [
            (vec![0xff; 64], "longer than any"),
            (vec![0; 64], "nothing"),
            ([&[0, 0, 0, 11][..], &[4; 12]].concat(), "no whole blocks"),
            ([&[0, 0, 0, 12][..], &[200; 12]].concat(), "more padding than packet"),
            ([&[0, 0, 0, 12][..], &[3; 12]].concat(), "too little padding"),
            ([&[0, 0, 0, 12][..], &[11; 12]].concat(), "padding alone"),
        ] {
            let mut packets = Packets::new(io::Cursor::new(bytes), Clock::system());
            let error = packets.receive().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}: {error}");
        }
    }
}
