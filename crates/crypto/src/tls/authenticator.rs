//! Exported authenticators (RFC 9261): the server of a TLS 1.3 connection proves, within it, that it holds the key of another
//! certificate too. What follows need not be encrypted a second time for that.
//!
//! Only what is needed here is built: authenticators that the server makes unasked (§4, "spontaneous"), without extensions.
//! TLS 1.2 is left out: what its exporter gives is bound to the connection only with extensions of its own (RFC 7627).

use std::fmt;
use std::sync::Arc;

use clock::Clock;
use rustls::crypto::hash::Output;
use rustls::crypto::tls13::OkmBlock;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier as _;
use rustls::time_provider::TimeProvider as _;
use rustls::{CertificateError, ConnectionCommon, SignatureScheme, Tls13CipherSuite};
use webpki::EndEntityCert;
use zeroize::Zeroizing;

use super::{CertificateChain, ClockTime, Error, TrustedClients, proof};
use crate::constant_time_eq;
use crate::x509::Certificate;

/// The exporter's labels for authenticators of the server (§5.1).
const HANDSHAKE_CONTEXT: &[u8] = b"EXPORTER-server authenticator handshake context";
const FINISHED_KEY: &[u8] = b"EXPORTER-server authenticator finished key";

/// What is before all that is signed (§5.2.2, RFC 8446 §4.4.3).
const SIGNED: &[u8] = b"Exported Authenticator\0";
const PADDING: [u8; 64] = [b' '; 64];

/// Messages of the handshake (RFC 8446 §4).
const CERTIFICATE: u8 = 11;
const CERTIFICATE_VERIFY: u8 = 15;
const FINISHED: u8 = 20;

/// Those of TLS 1.3 (RFC 8446 §4.2.3) for the keys that there are here: one for each kind.
const SCHEMES: [SignatureScheme; 3] =
    [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519, SignatureScheme::RSA_PSS_SHA256];

/// Certificates of one chain at most.
const MOST_CERTIFICATES: usize = 8;

/// Bytes of an authenticator at most: its length is told in two. A handshake's messages have the same limit in `rustls`.
const MOST_BYTES: usize = u16::MAX as usize;

/// An authenticator that proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticatorError {
    /// It is not one, or one with parts that nobody asked for.
    #[error("not an exported authenticator")]
    Malformed,
    /// It was made for something else within the connection.
    #[error("the authenticator was made for something else")]
    Context,
    /// It was made within another connection, or not by somebody who holds the key.
    #[error("the authenticator does not prove that its certificate's key is held at the other end")]
    Forged,
    /// The certificate is not trusted.
    #[error("the certificate is not accepted")]
    Certificate(#[source] rustls::Error),
}

/// What both ends of one TLS 1.3 connection know, and nobody else: what authenticators of its server are made with.
#[derive(Clone)]
pub struct Exported(Arc<Inner>);

struct Inner {
    suite: &'static Tls13CipherSuite,
    handshake_context: Zeroizing<Vec<u8>>,
    /// Wiped when dropped.
    finished_key: OkmBlock,
}

impl fmt::Debug for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exported")
    }
}

impl Exported {
    /// Of a connection on which hands were shaken; none where TLS 1.3 is not spoken.
    pub fn of<Side>(connection: &ConnectionCommon<Side>) -> Option<Self> {
        let suite = connection.negotiated_cipher_suite()?.tls13()?;
        let length = suite.common.hash_provider.output_len();
        let export = |label| connection.export_keying_material(Zeroizing::new(vec![0; length]), label, Some(b"")).ok();
        let (handshake_context, key) = (export(HANDSHAKE_CONTEXT)?, export(FINISHED_KEY)?);
        let finished_key = OkmBlock::new(&key);
        Some(Self(Arc::new(Inner { suite, handshake_context, finished_key })))
    }

    /// The server's proof that it holds this key, in no more bytes than two bytes can count. `context` is what it is for:
    /// another one each time (§4).
    ///
    /// # Errors
    /// The key cannot sign, or the chain is too long.
    pub fn prove(&self, chain: &CertificateChain, context: &[u8]) -> Result<Vec<u8>, Error> {
        let mut messages = certificate(context, &chain.0.cert)?;
        let signer = chain.0.key.choose_scheme(&SCHEMES).ok_or_else(|| unusable("the key has no scheme of TLS 1.3"))?;
        let signature = signer.sign(&self.signed(&messages))?;
        certificate_verify(&mut messages, signer.scheme(), &signature)?;
        let finished = self.finished(&messages);
        message(&mut messages, FINISHED, finished.as_ref())?;
        if messages.len() > MOST_BYTES {
            return Err(unusable("the chain is too long to be shown"));
        }
        Ok(messages)
    }

    /// The certificate whose key the server has proved to hold: one that is trusted as a client's, and for this `context`.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(
        &self,
        authenticator: &[u8],
        context: &[u8],
        trusted: &TrustedClients,
        clock: &Clock,
    ) -> Result<Certificate, AuthenticatorError> {
        let parsed = Authenticator::parse(authenticator).ok_or(AuthenticatorError::Malformed)?;
        if parsed.context != context {
            return Err(AuthenticatorError::Context);
        }
        // First what costs least, and nobody outside the connection can make.
        let finished = self.finished(&authenticator[..parsed.finished_at]);
        if !constant_time_eq(finished.as_ref(), parsed.finished) {
            return Err(AuthenticatorError::Forged);
        }
        let (leaf, intermediates) = parsed.chain.split_first().ok_or(AuthenticatorError::Malformed)?;
        let now = ClockTime(clock.clone()).current_time().ok_or(AuthenticatorError::Malformed)?;
        trusted.verify_client_cert(leaf, intermediates, now).map_err(AuthenticatorError::Certificate)?;
        let signed = self.signed(&authenticator[..parsed.certificate_ends]);
        let key = EndEntityCert::try_from(leaf).map_err(|_| AuthenticatorError::Malformed)?;
        let mapping = proof::algorithms().mapping;
        let algorithms = mapping.iter().filter(|(scheme, _)| SCHEMES.contains(scheme) && *scheme == parsed.scheme);
        // As in TLS 1.3 itself the first one is meant: the curve belongs to the scheme.
        let algorithm = algorithms.filter_map(|(_, algorithms)| algorithms.first()).next();
        let algorithm = algorithm.ok_or(AuthenticatorError::Forged)?;
        key.verify_signature(*algorithm, &signed, parsed.signature).map_err(|_| AuthenticatorError::Forged)?;
        let bad = |_| AuthenticatorError::Certificate(CertificateError::BadEncoding.into());
        Certificate::from_der(leaf).map_err(bad)
    }

    /// What is signed after `certificate`, a whole message (§5.2.2).
    fn signed(&self, certificate: &[u8]) -> Vec<u8> {
        [&PADDING, SIGNED, self.hash(certificate).as_ref()].concat()
    }

    /// What is in the last message after `messages`, the two before it (§5.2.3).
    fn finished(&self, messages: &[u8]) -> impl AsRef<[u8]> + use<> {
        self.0.suite.hkdf_provider.hmac_sign(&self.0.finished_key, self.hash(messages).as_ref())
    }

    /// Of what both ends know, and these messages. Between the two stands the request, which nobody makes.
    fn hash(&self, messages: &[u8]) -> Output {
        let mut hash = self.0.suite.common.hash_provider.start();
        hash.update(&self.0.handshake_context);
        hash.update(messages);
        hash.finish()
    }
}

/// Its parts, as they were read.
struct Authenticator<'a> {
    context: &'a [u8],
    chain: Vec<CertificateDer<'a>>,
    /// How long the first message is.
    certificate_ends: usize,
    scheme: SignatureScheme,
    signature: &'a [u8],
    /// How long the first two messages are.
    finished_at: usize,
    finished: &'a [u8],
}

impl<'a> Authenticator<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut certificate = take_message(&mut rest, CERTIFICATE)?;
        let certificate_ends = bytes.len() - rest.len();
        let mut verify = take_message(&mut rest, CERTIFICATE_VERIFY)?;
        let finished_at = bytes.len() - rest.len();
        let finished = take_message(&mut rest, FINISHED)?;

        let context = take(&mut certificate, 1)?;
        let (mut entries, mut chain) = (take(&mut certificate, 3)?, Vec::new());
        while !entries.is_empty() && chain.len() < MOST_CERTIFICATES {
            chain.push(CertificateDer::from(take(&mut entries, 3)?));
            // An extension is an answer to somebody's question.
            if !take(&mut entries, 2)?.is_empty() {
                return None;
            }
        }
        let (scheme, mut signature) = verify.split_first_chunk::<2>()?;
        let scheme = SignatureScheme::from(u16::from_be_bytes(*scheme));
        verify = take(&mut signature, 2)?;
        let is_whole = !chain.is_empty() && [rest, certificate, entries, signature].iter().all(|rest| rest.is_empty());
        let parsed = Self { context, chain, certificate_ends, scheme, signature: verify, finished_at, finished };
        is_whole.then_some(parsed)
    }
}

/// For the fuzz target: what is read, written again, is the same.
///
/// # Panics
/// It is not.
#[cfg(feature = "fuzzing")]
pub fn fuzz(bytes: &[u8]) {
    let Some(read) = Authenticator::parse(bytes) else { return };
    let mut again = certificate(read.context, &read.chain).expect("it was short enough");
    assert_eq!(again.len(), read.certificate_ends);
    certificate_verify(&mut again, read.scheme, read.signature).expect("it was short enough");
    assert_eq!(again.len(), read.finished_at);
    message(&mut again, FINISHED, read.finished).expect("it was short enough");
    assert_eq!(again, bytes);
}

/// The bytes after their length, which takes `width` bytes itself.
fn take<'a>(from: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let (length, rest) = from.split_at_checked(width)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let (taken, rest) = rest.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

/// What is in a message of this kind.
fn take_message<'a>(from: &mut &'a [u8], kind: u8) -> Option<&'a [u8]> {
    let (first, rest) = from.split_first()?;
    *from = rest;
    if *first == kind { take(from, 3) } else { None }
}

/// The first message: what the proof is for, and the chain, without extensions.
fn certificate(context: &[u8], chain: &[CertificateDer<'_>]) -> Result<Vec<u8>, Error> {
    let mut entries = Vec::new();
    for certificate in chain {
        put(&mut entries, 3, certificate)?;
        put(&mut entries, 2, &[])?;
    }
    let (mut body, mut messages) = (Vec::new(), Vec::new());
    put(&mut body, 1, context)?;
    put(&mut body, 3, &entries)?;
    message(&mut messages, CERTIFICATE, &body)?;
    Ok(messages)
}

/// The second message, after the first.
fn certificate_verify(messages: &mut Vec<u8>, scheme: SignatureScheme, signature: &[u8]) -> Result<(), Error> {
    let mut body = u16::from(scheme).to_be_bytes().to_vec();
    put(&mut body, 2, signature)?;
    message(messages, CERTIFICATE_VERIFY, &body)
}

fn message(into: &mut Vec<u8>, kind: u8, body: &[u8]) -> Result<(), Error> {
    into.push(kind);
    put(into, 3, body)
}

/// The bytes after their length, in so many bytes itself.
fn put(into: &mut Vec<u8>, width: usize, bytes: &[u8]) -> Result<(), Error> {
    let length = bytes.len().to_be_bytes();
    let (zeros, length) = length.split_at(length.len() - width);
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(unusable("a part of an authenticator is too long"));
    }
    into.extend_from_slice(length);
    into.extend_from_slice(bytes);
    Ok(())
}

fn unusable(words: &str) -> Error {
    Error::Config(rustls::Error::General(words.to_owned()))
}
