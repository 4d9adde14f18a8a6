//! First bytes of connections, headers of balancers and proxies, and what proxies say about themselves.

use std::{
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    task::{Context, Poll, Waker},
};

use client::Proxies;
use clock::Timestamp;
use crypto::x509::Certificate;
use net::{
    hello::{self, First},
    proxy_protocol::{self, Header, Progress, Tlv},
};
use tunnel::{
    control,
    source::{Error, Statement, TLV},
};

use crate::text;

/// Reading from memory never waits.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for more than there is"),
    }
}

/// Headers of the PROXY protocol, versions 1 and 2.
pub fn proxy_headers(data: &[u8]) {
    let Ok(Progress::Done(header, length)) = proxy_protocol::parse(data) else { return };
    assert_eq!(proxy_protocol::parse(&data[..length]), Ok(Progress::Done(header.clone(), length)), "it reads on");
    for cut in 1..length {
        assert_eq!(proxy_protocol::parse(&data[..cut]), Ok(Progress::Unfinished), "cut at {cut} of {length}");
    }
    if let Some(header) = header
        && let Ok(bytes) = header.to_v2()
    {
        assert_eq!(proxy_protocol::parse(&bytes), Ok(Progress::Done(Some(header), bytes.len())));
    }
}

/// The first bytes of a connection, however they arrive.
pub fn client_hellos(data: &[u8]) {
    let first = |already: &[u8], mut rest: &[u8]| {
        let first = at_once(hello::read(&mut rest, already.to_vec()));
        first.map(|first| match first {
            First::Tls(hello) => {
                assert!(data.starts_with(&hello.bytes), "the bytes are kept as they came");
                (0, hello.server_name(), hello.protocols())
            }
            First::Ssh(bytes) => (1, None, vec![bytes[..4].to_vec()]),
            First::Other(bytes) => (2, None, vec![bytes[..1].to_vec()]),
        })
    };
    let whole = first(b"", data).map_err(drop);
    for cut in [1, 5, data.len() / 2, data.len()] {
        let (already, rest) = data.split_at(cut.min(data.len()));
        assert_eq!(first(already, rest).map_err(drop), whole, "cut at {cut}");
    }
}

/// The control stream of a link, and the text of one message.
pub fn control_messages(data: &[u8]) {
    let _ = control::parse(data);
    let mut stream = data;
    while let Ok(Some(message)) = at_once(control::read(&mut stream)) {
        let mut bytes = Vec::new();
        at_once(control::write(&mut bytes, &message)).expect("what was read is short enough to be written");
        let again = at_once(control::read(&mut bytes.as_slice())).expect("our own bytes");
        assert_eq!(again, Some(message));
    }
}

/// A proxy's word about its client's address: an authority after its length, then the statement, of whose time it is.
pub fn source_statements(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk::<2>() else { return };
    let Some((authority, value)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { return };
    let authorities: Vec<_> = Certificate::from_der(authority).into_iter().collect();
    let time = value.first_chunk().and_then(|time| Timestamp::from_millisecond(i64::from_be_bytes(*time)).ok());
    let now = time.unwrap_or(Timestamp::UNIX_EPOCH);
    let place = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let tlvs = vec![Tlv { kind: TLV, value: value.to_vec() }];
    let header = Header { source: place(1), destination: place(2), tlvs };
    let verify = |header: &Header, cluster| Statement::verify(header, cluster, &authorities, now);
    if let Ok((_, certificate)) = verify(&header, "example.com") {
        assert!(certificate.is_valid_at(now) && !certificate.is_ca());
        assert!(certificate.verify_signed_by(&authorities[0]).is_ok());
        for other in [Header { source: place(3), ..header.clone() }, Header { destination: place(3), ..header.clone() }]
        {
            assert_eq!(verify(&other, "example.com").err(), Some(Error::Forged), "{other:?}");
        }
        assert_eq!(verify(&header, "example.org").err(), Some(Error::Forged));
        assert_eq!(Statement::verify(&header, "example.com", &[], now).err(), Some(Error::Untrusted));
    }
}

/// What an HTTP proxy answers to `CONNECT`, and the variables that name proxies.
pub fn http_proxies(data: &[u8]) {
    if Proxies::judge_answer(data, "auth.example:443").is_ok() {
        assert!(data.starts_with(b"HTTP/1."));
    }
    let text = text(data);
    let (first, second) = text.split_once('\n').unwrap_or((&text, ""));
    let value = |name: &str| match name {
        "HTTPS_PROXY" => Some(first.to_owned()),
        "NO_PROXY" => Some(second.to_owned()),
        _ => None,
    };
    match Proxies::from_variables(value) {
        Ok(proxies) => {
            for address in ["auth.example:443", "10.1.2.3:3025", "[2001:db8::1]:3025", "auth.example"] {
                let described = proxies.describe(address).unwrap_or_default();
                assert!(!described.chars().any(char::is_control), "{described:?}");
            }
            assert_eq!(proxies.describe("127.0.0.1:3025"), None, "this machine is never behind a proxy");
        }
        Err(error) => {
            let secret = first.split('@').next().filter(|user| first.contains('@') && user.len() > 20);
            assert!(secret.is_none_or(|secret| !error.to_string().contains(secret)), "{error}");
        }
    }
}

/// Three PEM texts, one after the other: certificates, the key, authorities.
pub fn key_pairs(data: &[u8]) {
    let text = text(data);
    let mut parts = text.splitn(3, "\n---\n");
    let mut part = || parts.next().unwrap_or_default();
    let (certificate, key, authorities) = (part(), part(), part());
    let _ = client::Credentials::from_pem(certificate, key, authorities);
}

/// Packets of an SSH client, in the clear.
pub fn ssh_messages(data: &[u8]) {
    proxy::fuzzing::ssh(data);
}
