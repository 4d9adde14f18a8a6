//! The PROXY protocol: the line (version 1) or block (version 2) in which a balancer says where its client is.
//!
//! Source: "The PROXY protocol, versions 1 & 2", HAProxy Technologies. Anybody who can reach the port can write such a
//! header; whether it is believed is the caller's decision ([`Mode`], or a signature in a [`Tlv`]).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::prefixed::Prefixed;

/// The longest line of version 1 (§2.1: 107 bytes with the line end).
const MAX_V1: usize = 107;

/// The longest block of version 2 that we take: two IPv6 addresses and room for a certificate and a signature.
pub const MAX_V2: usize = 8 * 1024;

/// The first bytes of version 2 (§2.2).
const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a block of version 2 begins with, and no TLS record.
pub const V2_BEGINS: u8 = V2[0];

/// The first bytes of version 1.
const V1: &[u8] = b"PROXY ";

/// Bytes before the variable part of version 2.
const V2_HEAD: usize = 16;

/// Whether headers are expected (`proxy_protocol` in the configuration file).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Each connection begins with a header; one without is refused.
    On,
    /// No header is taken; a connection that begins with one is refused.
    Off,
    /// A header is taken when there is one. Anybody can claim any address, so what it says must not be used to decide
    /// (a certificate pinned to an address is refused on such a connection).
    #[default]
    Unspecified,
}

/// A type-length-value field of version 2 (§2.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlv {
    /// The type; 0xE0–0xEF are free for our own use.
    pub kind: u8,
    /// The value.
    pub value: Vec<u8>,
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the client is.
    pub source: SocketAddr,
    /// What it dialled.
    pub destination: SocketAddr,
    /// Further fields, of version 2 only.
    pub tlvs: Vec<Tlv>,
}

/// The header is broken, missing or not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no header of version 1 or 2.
    #[error("malformed PROXY protocol header")]
    Malformed,
    /// Longer than [`MAX_V2`].
    #[error("the PROXY protocol header is too long")]
    TooLong,
    /// [`Mode::On`], and there is none.
    #[error("a PROXY protocol header is required here (proxy_protocol: on), and there is none")]
    Missing,
    /// [`Mode::Off`], and there is one.
    #[error("a PROXY protocol header is not allowed here (proxy_protocol: off)")]
    Unwanted,
}

/// How far the first bytes of a connection have been understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// They are no PROXY protocol header.
    None,
    /// They may become one.
    Unfinished,
    /// A whole header of so many bytes; `None` when it names no addresses (`LOCAL`, `UNKNOWN`): the balancer speaks for
    /// itself.
    Done(Option<Header>, usize),
}

/// Reads a header at the beginning of `bytes`.
///
/// # Errors
/// It begins like one and is none.
pub fn parse(bytes: &[u8]) -> Result<Progress, Error> {
    if begins(bytes, V2) {
        parse_v2(bytes)
    } else if begins(bytes, V1) {
        parse_v1(bytes)
    } else {
        Ok(Progress::None)
    }
}

/// Whether `bytes`, as far as they go, are those of `start`.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let length = bytes.len().min(start.len());
    length > 0 && bytes[..length] == start[..length]
}

fn parse_v1(bytes: &[u8]) -> Result<Progress, Error> {
    let Some(end) = bytes.iter().take(MAX_V1).position(|byte| *byte == b'\n') else {
        return if bytes.len() >= MAX_V1 { Err(Error::Malformed) } else { Ok(Progress::Unfinished) };
    };
    let line =
        bytes[..end].strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok()).ok_or(Error::Malformed)?;
    let mut words = line.split(' ').skip(1);
    let header = match words.next() {
        Some("UNKNOWN") => None,
        Some(family @ ("TCP4" | "TCP6")) => {
            let mut address = || words.next().and_then(|word| word.parse::<IpAddr>().ok()).ok_or(Error::Malformed);
            let (source, destination) = (address()?, address()?);
            let mut port = || words.next().and_then(|word| word.parse::<u16>().ok()).ok_or(Error::Malformed);
            let (source, destination) = (SocketAddr::new(source, port()?), SocketAddr::new(destination, port()?));
            let fits = source.is_ipv4() == (family == "TCP4") && destination.is_ipv4() == source.is_ipv4();
            if !fits || words.next().is_some() {
                return Err(Error::Malformed);
            }
            // An IPv4 address has one form, however the balancer writes it: limits and pins go by it.
            let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
            Some(Header { source: plain(source), destination: plain(destination), tlvs: Vec::new() })
        }
        _ => return Err(Error::Malformed),
    };
    Ok(Progress::Done(header, end + 1))
}

fn parse_v2(bytes: &[u8]) -> Result<Progress, Error> {
    let Some(head) = bytes.get(..V2_HEAD) else { return Ok(Progress::Unfinished) };
    let (command, family) = (head[12], head[13]);
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > MAX_V2 {
        return Err(Error::TooLong);
    }
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Error::Malformed),
    };
    let Some(body) = bytes.get(V2_HEAD..V2_HEAD + length) else { return Ok(Progress::Unfinished) };
    let total = V2_HEAD + length;
    // §2.2: the addresses of LOCAL are to be ignored; of families other than TCP over IP we know nothing.
    let (source, destination, rest) = match family {
        _ if is_local => return Ok(Progress::Done(None, total)),
        0x11 => addresses::<4>(body, |octets| Ipv4Addr::from(octets).into())?,
        0x21 => addresses::<16>(body, |octets| Ipv6Addr::from(octets).to_canonical())?,
        _ => return Ok(Progress::Done(None, total)),
    };
    Ok(Progress::Done(Some(Header { source, destination, tlvs: tlvs(rest)? }), total))
}

fn addresses<const N: usize>(
    body: &[u8],
    ip: impl Fn([u8; N]) -> IpAddr,
) -> Result<(SocketAddr, SocketAddr, &[u8]), Error> {
    let (source, rest) = body.split_first_chunk::<N>().ok_or(Error::Malformed)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(Error::Malformed)?;
    let (ports, rest) = rest.split_first_chunk::<4>().ok_or(Error::Malformed)?;
    let source = SocketAddr::new(ip(*source), u16::from_be_bytes([ports[0], ports[1]]));
    let destination = SocketAddr::new(ip(*destination), u16::from_be_bytes([ports[2], ports[3]]));
    Ok((source, destination, rest))
}

fn tlvs(mut bytes: &[u8]) -> Result<Vec<Tlv>, Error> {
    let mut found = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
        let value = rest.get(..length).ok_or(Error::Malformed)?;
        found.push(Tlv { kind: head[0], value: value.to_vec() });
        bytes = &rest[length..];
    }
    if bytes.is_empty() { Ok(found) } else { Err(Error::Malformed) }
}

impl Header {
    /// The bytes of version 2. Addresses of different families are written as IPv6.
    ///
    /// # Errors
    /// The fields are longer than [`MAX_V2`].
    pub fn to_v2(&self) -> Result<Vec<u8>, Error> {
        let (family, mut body) = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => (0x11, [source.octets(), destination.octets()].concat()),
            (source, destination) => (0x21, [v6(source), v6(destination)].concat()),
        };
        body.extend(self.source.port().to_be_bytes());
        body.extend(self.destination.port().to_be_bytes());
        for tlv in &self.tlvs {
            let length = u16::try_from(tlv.value.len()).map_err(|_| Error::TooLong)?;
            body.push(tlv.kind);
            body.extend(length.to_be_bytes());
            body.extend(&tlv.value);
        }
        let length = u16::try_from(body.len()).ok().filter(|length| usize::from(*length) <= MAX_V2);
        let length = length.ok_or(Error::TooLong)?;
        Ok([&V2[..], &[0x21, family], &length.to_be_bytes(), &body].concat())
    }
}

fn v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Reads the header that a connection begins with, as `mode` demands, and puts back what follows it. The caller bounds
/// the time.
///
/// # Errors
/// The stream failed, or [`Error`] as [`io::ErrorKind::InvalidData`].
pub async fn read<S: AsyncRead + Unpin>(mut stream: S, mode: Mode) -> io::Result<(Option<Header>, Prefixed<S>)> {
    let invalid = |error: Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut bytes = Vec::with_capacity(256);
    loop {
        let progress = parse(&bytes).map_err(invalid)?;
        match (progress, mode) {
            (Progress::Unfinished, Mode::Off) if bytes.len() >= V1.len() => return Err(invalid(Error::Unwanted)),
            (Progress::Done(..), Mode::Off) => return Err(invalid(Error::Unwanted)),
            (Progress::Done(header, length), _) => {
                bytes.drain(..length);
                return Ok((header, Prefixed::new(bytes, stream)));
            }
            (Progress::None, Mode::On) if !bytes.is_empty() => return Err(invalid(Error::Missing)),
            (Progress::None, _) if !bytes.is_empty() => return Ok((None, Prefixed::new(bytes, stream))),
            (Progress::None | Progress::Unfinished, _) => {}
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Reads a block of version 2 and not one byte more, so that the stream itself goes on behind it. The caller bounds the time.
///
/// # Errors
/// As [`read`].
pub async fn read_v2<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<Header>> {
    let invalid = |error: Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut bytes = vec![0; V2_HEAD];
    stream.read_exact(&mut bytes).await?;
    let length = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if !begins(&bytes, V2) {
        return Err(invalid(Error::Malformed));
    }
    if length > MAX_V2 {
        return Err(invalid(Error::TooLong));
    }
    bytes.resize(V2_HEAD + length, 0);
    stream.read_exact(&mut bytes[V2_HEAD..]).await?;
    match parse(&bytes).map_err(invalid)? {
        Progress::Done(header, _) => Ok(header),
        Progress::None | Progress::Unfinished => Err(invalid(Error::Malformed)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(source: &str, destination: &str) -> Header {
        Header { source: source.parse().unwrap(), destination: destination.parse().unwrap(), tlvs: Vec::new() }
    }

    #[test]
    fn version_1_is_read() {
        for (line, expect) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", Some(header("192.0.2.1:56324", "192.0.2.2:443"))),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", Some(header("[2001:db8::1]:1", "[2001:db8::2]:2"))),
            ("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n", Some(header("192.0.2.1:1", "[2001:db8::2]:2"))),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n", None),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(Progress::Done(expect, line.len())), "{line}");
            for cut in 1..line.len() {
                assert_eq!(parse(&line.as_bytes()[..cut]), Ok(Progress::Unfinished), "{line} cut at {cut}");
            }
        }
        for bad in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n",
            "PROXY TCP4 2001:db8::1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 70000\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            &format!("PROXY {}", "x".repeat(200)),
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(Error::Malformed), "{bad}");
        }
        assert_eq!(parse(b"\x16\x03\x01"), Ok(Progress::None));
        assert_eq!(parse(b"SSH-2.0-Go"), Ok(Progress::None));
    }

    #[test]
    fn version_2_comes_back_as_it_was_written() {
        for (source, destination) in
            [("192.0.2.1:1", "192.0.2.2:2"), ("[2001:db8::1]:1", "[2001:db8::2]:2"), ("192.0.2.1:1", "[2001:db8::2]:2")]
        {
            let mut header = header(source, destination);
            header.tlvs = vec![Tlv { kind: 0xE5, value: vec![7; 2000] }, Tlv { kind: 1, value: vec![] }];
            let bytes = header.to_v2().unwrap();
            assert_eq!(parse(&bytes), Ok(Progress::Done(Some(header.clone()), bytes.len())));
            for cut in [1, 11, 12, 15, 16, bytes.len() - 1] {
                assert_eq!(parse(&bytes[..cut]), Ok(Progress::Unfinished), "cut at {cut}");
            }
        }
        let too_long =
            Header { tlvs: vec![Tlv { kind: 1, value: vec![0; MAX_V2] }], ..header("1.1.1.1:1", "1.1.1.1:1") };
        assert_eq!(too_long.to_v2(), Err(Error::TooLong));
    }

    #[test]
    fn version_2_of_the_balancer_itself_names_nobody_and_lies_are_refused() {
        let block = |command: u8, family: u8, length: u16, body: &[u8]| {
            [&V2[..], &[command, family], &length.to_be_bytes(), body].concat()
        };
        assert_eq!(parse(&block(0x20, 0, 0, &[])), Ok(Progress::Done(None, 16)));
        assert_eq!(parse(&block(0x21, 0x31, 3, &[1, 2, 3])), Ok(Progress::Done(None, 19)));
        assert_eq!(parse(&block(0x31, 0x11, 12, &[0; 12])), Err(Error::Malformed));
        assert_eq!(parse(&block(0x21, 0x11, 11, &[0; 11])), Err(Error::Malformed));
        assert_eq!(parse(&block(0x21, 0x11, 14, &[0; 14])), Err(Error::Malformed));
        assert_eq!(
            parse(&block(0x21, 0x11, 15, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1])),
            Err(Error::Malformed)
        );
        assert_eq!(parse(&block(0x21, 0x11, u16::MAX, &[])), Err(Error::TooLong));
    }

    #[tokio::test]
    async fn a_block_is_read_to_its_end_and_no_further() {
        let mut header = header("192.0.2.1:1", "192.0.2.2:2");
        header.tlvs = vec![Tlv { kind: 0xE5, value: vec![7; 700] }];
        let bytes = [&header.to_v2().unwrap()[..], b"rest"].concat();
        let mut stream = bytes.as_slice();
        assert_eq!(read_v2(&mut stream).await.unwrap(), Some(header));
        assert_eq!(stream, b"rest");
        let mut too_long = [&V2[..], &[0x21, 0x11, 0xFF, 0xFF]].concat();
        for bad in [&b"\r\n\r\nnothing of the sort"[..], &too_long, &bytes[..40]] {
            assert!(read_v2(&mut &*bad).await.is_err());
        }
        too_long[14] = 0;
        too_long[15] = 0;
        assert!(read_v2(&mut too_long.as_slice()).await.is_err(), "a command without its addresses");
    }

    #[tokio::test]
    async fn the_mode_says_what_is_taken() {
        let plain = b"\x16\x03\x01rest".as_slice();
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nrest".as_slice();
        for (bytes, mode, expect) in [
            (plain, Mode::On, Err("none")),
            (plain, Mode::Off, Ok(None)),
            (plain, Mode::Unspecified, Ok(None)),
            (line, Mode::On, Ok(Some("192.0.2.1:1"))),
            (line, Mode::Off, Err("not allowed")),
            (line, Mode::Unspecified, Ok(Some("192.0.2.1:1"))),
        ] {
            match (read(bytes, mode).await, expect) {
                (Ok((header, mut rest)), Ok(source)) => {
                    assert_eq!(header.map(|header| header.source), source.map(|source| source.parse().unwrap()));
                    let mut text = Vec::new();
                    rest.read_to_end(&mut text).await.unwrap();
                    assert!(text.ends_with(b"rest"), "what follows is kept");
                }
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (got, _) => panic!("{mode:?}: {got:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), v2 in any::<bool>()) {
            let start: &[u8] = if v2 { V2 } else { V1 };
            for bytes in [bytes.clone(), [start, &bytes].concat()] {
                if let Ok(Progress::Done(_, length)) = parse(&bytes) {
                    prop_assert!(length <= bytes.len());
                }
            }
        }
    }
}
