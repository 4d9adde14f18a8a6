//! Packets within a connection that a balancer watches: four length bytes (big-endian) and that many bytes; one without
//! bytes is a ping, which keeps the balancer from cutting a connection that is silent.

use std::{io, time::Duration};

use clock::Clock;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest packet that we send.
const PACKET: usize = 16 * 1024;

/// Takes bytes out of packets until there are no more.
///
/// # Errors
/// The packets end in the middle of one, or a stream failed.
pub async fn unpack(packets: &mut (impl AsyncRead + Unpin), bytes: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    loop {
        let length = match packets.read_u32().await {
            Ok(length) => u64::from(length),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let copied = tokio::io::copy(&mut packets.take(length), bytes).await?;
        if copied < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Puts bytes into packets, and a ping where there are none for so long, until there are no more.
///
/// # Errors
/// A stream failed.
pub async fn pack(
    bytes: &mut (impl AsyncRead + Unpin),
    packets: &mut (impl AsyncWrite + Unpin),
    ping_every: Duration,
    clock: &Clock,
) -> io::Result<()> {
    let mut packet = vec![0; 4 + PACKET];
    loop {
        let length = match clock.timeout(ping_every, bytes.read(&mut packet[4..])).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(read) => read?,
            Err(_) => 0,
        };
        let head = u32::try_from(length).map_err(io::Error::other)?.to_be_bytes();
        packet[..4].copy_from_slice(&head);
        packets.write_all(&packet[..4 + length]).await?;
        packets.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_come_out_of_packets_as_they_went_in() {
        let sent: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut packets = Vec::new();
        pack(&mut sent.as_slice(), &mut packets, Duration::from_secs(9), &Clock::system()).await.unwrap();
        packets.splice(0..0, [0; 4]);
        let mut back = Vec::new();
        unpack(&mut packets.as_slice(), &mut back).await.unwrap();
        assert_eq!(back, sent);
        packets.pop();
        assert!(unpack(&mut packets.as_slice(), &mut Vec::new()).await.is_err(), "a packet that ends too early");
    }
}
