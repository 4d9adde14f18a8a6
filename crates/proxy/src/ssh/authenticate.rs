//! Who an SSH client is (RFC 4252): a certificate of the user authority, or of the host authority, and nothing else.
//!
//! It opens nothing that a TLS connection to the auth service would not: there the client shows its other certificate,
//! and is judged by that, locks included.

use std::{io, net::IpAddr};

use clock::Timestamp;
use crypto::{
    PublicKey,
    ssh::{self, Certificate, CertificateType, wire::Reader},
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    invalid,
    message::{
        KEXINIT, Message, SERVICE_ACCEPT, SERVICE_REQUEST, USERAUTH_FAILURE, USERAUTH_PK_OK, USERAUTH_REQUEST,
        USERAUTH_SUCCESS,
    },
    session::Session,
};

/// How often a client may ask, questions whether a key is of use included. An agent with a few keys asks twice for each.
const MOST_REQUESTS: usize = 20;

/// The service that signs in, and the one that it leads to.
const SIGN_IN: &str = "ssh-userauth";
const CONNECTION: &str = "ssh-connection";

/// As clients name them: how they are used, what the certificate calls itself, what the signature calls itself.
const ALGORITHMS: [(&str, &str, &str); 4] = [
    ("ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519"),
    ("ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp256"),
    ("rsa-sha2-512-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com", "rsa-sha2-512"),
    ("rsa-sha2-256-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com", "rsa-sha2-256"),
];

/// What clients are judged by.
pub(super) struct Judge<'a> {
    /// The keys of the cluster's user authority.
    pub(super) users: &'a [PublicKey],
    /// The keys of its host authority.
    pub(super) hosts: &'a [PublicKey],
    /// Where the client is.
    pub(super) address: IpAddr,
    /// The time.
    pub(super) now: Timestamp,
}

/// A client that has proved who it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// The certificate's name for itself.
    pub(super) key_id: String,
    /// When the certificate ends.
    pub(super) until: Timestamp,
}

/// Lets the client prove who it is. The caller bounds the time.
pub(super) async fn authenticate<S>(session: &mut Session<S>, judge: &Judge<'_>) -> io::Result<Client>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut is_open = false;
    for _ in 0..=MOST_REQUESTS {
        session.flush().await?;
        let payload = session.receive().await?;
        match payload.first() {
            Some(&SERVICE_REQUEST) if !is_open => {
                let mut reader = Reader::new(&payload[1..]);
                if reader.text().ok() != Some(SIGN_IN) || !reader.is_empty() {
                    return Err(invalid("another service was asked for"));
                }
                session.queue(&Message::new(SERVICE_ACCEPT).string(SIGN_IN).done())?;
                is_open = true;
            }
            Some(&USERAUTH_REQUEST) if is_open => match judge.answer(&payload, session.id()) {
                Answer::Welcome(client) => {
                    session.queue(&[USERAUTH_SUCCESS])?;
                    session.flush().await?;
                    return Ok(client);
                }
                Answer::Usable(message) => session.queue(&message)?,
                Answer::Refused(why) => {
                    tracing::debug!(address = %judge.address, why, "an SSH client was refused");
                    session.queue(&Message::new(USERAUTH_FAILURE).string("publickey").bool(false).done())?;
                }
            },
            Some(&KEXINIT) => session.exchange_again(&payload).await?,
            _ => return Err(invalid("a message before the client has signed in")),
        }
    }
    Err(invalid("too many attempts"))
}

enum Answer {
    Welcome(Client),
    /// A signature with this key will be accepted.
    Usable(Vec<u8>),
    Refused(&'static str),
}

struct Request<'a> {
    user: &'a str,
    algorithm: &'a str,
    blob: &'a [u8],
    signature: Option<&'a [u8]>,
    /// What the signature is over, without the name of the connection.
    signed: &'a [u8],
}

impl<'a> Request<'a> {
    /// `None` for every method but `publickey`.
    fn read(payload: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        reader.u8().ok()?;
        let user = reader.text().ok()?;
        if (reader.text().ok()?, reader.text().ok()?) != (CONNECTION, "publickey") {
            return None;
        }
        let is_signed = reader.u8().ok()? != 0;
        let (algorithm, blob) = (reader.text().ok()?, reader.string().ok()?);
        let signed = &payload[..payload.len() - reader.remaining()];
        let signature = if is_signed { Some(reader.string().ok()?) } else { None };
        reader.finish().ok()?;
        Some(Self { user, algorithm, blob, signature, signed })
    }
}

impl Judge<'_> {
    /// Only looks at a request, whatever it is.
    #[cfg(feature = "fuzzing")]
    pub(super) fn look(&self, payload: &[u8]) {
        let _ = self.answer(payload, &[0; 32]);
    }

    fn answer(&self, payload: &[u8], session: &[u8; 32]) -> Answer {
        let Some(request) = Request::read(payload) else { return Answer::Refused("not by a key") };
        let Some((_, of, by)) = ALGORITHMS.iter().find(|(name, ..)| *name == request.algorithm) else {
            return Answer::Refused("not a certificate of a kind that is used");
        };
        let certificate = match Certificate::from_wire(request.blob) {
            Ok(certificate) if certificate.type_name() == *of => certificate,
            _ => return Answer::Refused("no certificate of the kind that it is said to be"),
        };
        if let Err(why) = self.check(&certificate, request.user) {
            return Answer::Refused(why);
        }
        let Some(signature) = request.signature else {
            return Answer::Usable(Message::new(USERAUTH_PK_OK).string(request.algorithm).string(request.blob).done());
        };
        let signed = Message::default().string(session).raw(request.signed).done();
        let is_of_kind = Reader::new(signature).text().ok() == Some(by);
        if !is_of_kind || ssh::verify_blob(certificate.public_key(), &signed, signature).is_err() {
            return Answer::Refused("the signature is not that of the certificate's key");
        }
        Answer::Welcome(Client { key_id: certificate.key_id().to_owned(), until: certificate.valid_before() })
    }

    /// Whether a certificate is good for signing in as `user`, to somebody who has its key.
    fn check(&self, certificate: &Certificate, user: &str) -> Result<(), &'static str> {
        let authorities = match certificate.cert_type() {
            CertificateType::User => self.users,
            CertificateType::Host => self.hosts,
        };
        if !authorities.contains(certificate.signature_key()) {
            return Err("the certificate is of no authority of this cluster");
        }
        if certificate.verify().is_err() {
            return Err("the certificate was altered");
        }
        if !(certificate.valid_after()..certificate.valid_before()).contains(&self.now) {
            return Err("the certificate has expired, or is not valid yet");
        }
        if !certificate.principals().iter().any(|principal| principal == user) {
            return Err("the certificate is for another user");
        }
        for (name, value) in certificate.critical_options() {
            match name.as_str() {
                "source-address" if covers(value, self.address) => {}
                "source-address" => return Err("the certificate is good from another address only"),
                _ => return Err("the certificate is limited in a way that is not understood"),
            }
        }
        Ok(())
    }
}

/// Whether an address is in a list of addresses and networks (`192.0.2.0/24,2001:db8::1`).
fn covers(list: &str, address: IpAddr) -> bool {
    list.split(',').any(|entry| {
        let (network, bits) = match entry.trim().split_once('/') {
            None => (entry.trim(), None),
            Some((network, bits)) => (network, Some(bits)),
        };
        let bits = bits.map(str::parse::<u32>);
        match (network.parse(), address.to_canonical()) {
            (Ok(IpAddr::V4(network)), IpAddr::V4(address)) => {
                let (network, address) = (u128::from(network.to_bits()), u128::from(address.to_bits()));
                is_within(network, address, bits.unwrap_or(Ok(32)).ok(), 32)
            }
            (Ok(IpAddr::V6(network)), IpAddr::V6(address)) => {
                is_within(network.to_bits(), address.to_bits(), bits.unwrap_or(Ok(128)).ok(), 128)
            }
            _ => false,
        }
    })
}

fn is_within(network: u128, address: u128, bits: Option<u32>, width: u32) -> bool {
    bits.and_then(|bits| width.checked_sub(bits)).is_some_and(|free| {
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        network & mask == address & mask
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_within_their_networks_only() {
        for (list, address, expect) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("10.0.0.0/8, 192.0.2.0/24", "192.0.2.200", true),
            ("192.0.2.0/24", "192.0.3.1", false),
            ("192.0.2.0/24", "::ffff:192.0.2.9", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
            ("192.0.2.0/33", "192.0.2.0", false),
            ("192.0.2.0/x", "192.0.2.0", false),
            ("", "192.0.2.0", false),
        ] {
            assert_eq!(covers(list, address.parse().unwrap()), expect, "{list} {address}");
        }
    }
}
