//! Reads what is about to be signed with another parser than the one that wrote it, and compares it with the template.

use clock::Timestamp;
use crypto::PublicKey;
use crypto::x509::{Body, KeyUsage, MOST_BYTES};

use super::{AuthorityTemplate, Signer, Template, Usage, WHAT};
use crate::Error;

const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const KEY_USAGE: &str = "2.5.29.15";
const SUBJECT_ALT_NAME: &str = "2.5.29.17";

pub(super) fn leaf(tbs: &[u8], template: &Template, signer: &Signer) -> Result<Body, Error> {
    let body = read(tbs)?;
    let usages: &[&str] = match template.usage {
        Usage::Leaf | Usage::Svid => &[SERVER_AUTH, CLIENT_AUTH],
        Usage::Client => &[CLIENT_AUTH],
    };
    all(&[
        ("subject", same_attributes(body.subject(), &template.subject)),
        ("issuer", body.issuer_der() == signer.certificate.subject_der()),
        ("public key", body.spki_der() == template.public_key.spki_der()),
        ("validity", same_second(&body, template.not_before, template.not_after)),
        ("DNS names", body.dns_names() == template.names.dns),
        ("addresses", body.ip_addresses() == template.names.ip),
        ("URIs", body.uris() == template.names.uris),
        ("names critical", body.is_critical(SUBJECT_ALT_NAME) == template.subject.is_empty()),
        ("CA bit", !body.is_ca() && body.is_critical(BASIC_CONSTRAINTS)),
        ("key usage", body.key_usage() == Some(template.key_usage()) && body.is_critical(KEY_USAGE)),
        ("key usage of an authority", !has(&body, KeyUsage::CERT_SIGN) && !has(&body, KeyUsage::CRL_SIGN)),
        ("extended key usage", body.extended_key_usage() == usages),
        ("serial number", serial_is_sound(&body)),
    ])?;
    Ok(body)
}

pub(super) fn authority(
    tbs: &[u8],
    template: &AuthorityTemplate,
    key: &PublicKey,
    serial: &[u8],
) -> Result<Body, Error> {
    let body = read(tbs)?;
    all(&[
        ("subject", same_attributes(body.subject(), &template.subject(serial))),
        ("issuer", body.issuer_der() == body.subject_der()),
        ("public key", body.spki_der() == key.spki_der()),
        ("validity", same_second(&body, template.not_before, template.not_after)),
        ("URIs", body.uris() == template.uris),
        ("CA bit", body.is_ca() && body.is_critical(BASIC_CONSTRAINTS)),
        ("key usage", body.key_usage() == Some(template.key_usage()) && body.is_critical(KEY_USAGE)),
        ("serial number", serial_is_sound(&body)),
    ])?;
    Ok(body)
}

fn read(tbs: &[u8]) -> Result<Body, Error> {
    if tbs.len() > MOST_BYTES / 2 {
        return Err(Error::refused(WHAT, "it would be larger than 32 KiB"));
    }
    Body::from_der(tbs).map_err(|_| Error::Lint { what: WHAT, field: "the encoding" })
}

fn all(checks: &[(&'static str, bool)]) -> Result<(), Error> {
    match checks.iter().find(|(_, holds)| !holds) {
        Some((field, _)) => Err(Error::Lint { what: WHAT, field }),
        None => Ok(()),
    }
}

/// The same attributes with the same values, in any order: shared RDNs are sorted by their encoding.
fn same_attributes(found: &[(String, String)], wanted: &[(String, String)]) -> bool {
    fn sorted(attributes: &[(String, String)]) -> Vec<&(String, String)> {
        let mut attributes: Vec<_> = attributes.iter().collect();
        attributes.sort();
        attributes
    }
    sorted(found) == sorted(wanted)
}

fn same_second(body: &Body, not_before: Timestamp, not_after: Timestamp) -> bool {
    body.not_before().as_second() == not_before.as_second() && body.not_after().as_second() == not_after.as_second()
}

fn has(body: &Body, usage: KeyUsage) -> bool {
    body.key_usage().is_some_and(|found| found.contains(usage))
}

/// 128 bits, positive, well below the 20 octets of RFC 5280 §4.1.2.2.
fn serial_is_sound(body: &Body) -> bool {
    let serial = body.serial();
    serial.len() == 16 && serial[0] & 0xc0 == 0x40
}
