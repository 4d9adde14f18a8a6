//! Writes the to-be-signed part (RFC 5280 §4.1) by hand: the exact form of names that other tools expect is not one
//! that a general builder makes.

use std::net::IpAddr;

use clock::Timestamp;
use crypto::asn1::{self, tag};
use crypto::x509::KeyUsage;
use crypto::{PublicKey, Scheme, hash};
use jiff::tz::Offset;

use super::{AlternativeNames, AuthorityTemplate, Signer, Template, Usage};

/// Attributes whose repeated values share one RDN, in the order in which they stand: C, O, OU, L, ST, STREET,
/// postalCode. CN follows, then serialNumber, then the rest as given, one RDN each.
const SHARED: [&str; 7] = ["2.5.4.6", "2.5.4.10", "2.5.4.11", "2.5.4.7", "2.5.4.8", "2.5.4.9", "2.5.4.17"];
const COMMON_NAME: &str = "2.5.4.3";
const SERIAL_NUMBER: &str = "2.5.4.5";

/// `[3]`, explicit: the extensions.
const EXTENSIONS: u8 = 0xa3;
/// `[0]`, explicit: the version; also `keyIdentifier` with [`KEY_IDENTIFIER`] as the primitive form.
const VERSION: u8 = 0xa0;
const KEY_IDENTIFIER: u8 = 0x80;

const V3: &[u8] = b"\x02\x01\x02";
const TRUE: &[u8] = b"\x01\x01\xff";

const OID_SUBJECT_KEY_ID: &[u8] = b"\x06\x03\x55\x1d\x0e";
const OID_KEY_USAGE: &[u8] = b"\x06\x03\x55\x1d\x0f";
const OID_SUBJECT_ALT_NAME: &[u8] = b"\x06\x03\x55\x1d\x11";
const OID_BASIC_CONSTRAINTS: &[u8] = b"\x06\x03\x55\x1d\x13";
pub(crate) const OID_CRL_NUMBER: &[u8] = b"\x06\x03\x55\x1d\x14";
pub(crate) const OID_AUTHORITY_KEY_ID: &[u8] = b"\x06\x03\x55\x1d\x23";
const OID_EXTENDED_KEY_USAGE: &[u8] = b"\x06\x03\x55\x1d\x25";

const SERVER_AUTH: &[u8] = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";
const CLIENT_AUTH: &[u8] = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02";

/// The body of an end certificate.
pub(super) fn leaf(template: &Template, signer: &Signer, serial: &[u8]) -> Vec<u8> {
    let usages: &[&[u8]] = match template.usage {
        Usage::Leaf | Usage::Svid => &[SERVER_AUTH, CLIENT_AUTH],
        Usage::Client => &[CLIENT_AUTH],
    };
    let mut extensions = vec![
        extension(OID_KEY_USAGE, true, &key_usage(template.key_usage())),
        extension(OID_EXTENDED_KEY_USAGE, false, &asn1::sequence(usages)),
        extension(OID_BASIC_CONSTRAINTS, true, &asn1::sequence(&[])),
        extension(OID_AUTHORITY_KEY_ID, false, &authority_key_id(&signer.key.public)),
    ];
    if !template.names.is_empty() {
        // RFC 5280 §4.2.1.6: critical exactly when there is no other name.
        extensions.push(extension(
            OID_SUBJECT_ALT_NAME,
            template.subject.is_empty(),
            &alternative_names(&template.names),
        ));
    }
    let validity = (template.not_before, template.not_after);
    body(
        serial,
        signer,
        signer.certificate.subject_der(),
        validity,
        &name(&template.subject),
        &template.public_key,
        &extensions,
    )
}

/// The body of a self-signed authority certificate.
pub(super) fn authority(template: &AuthorityTemplate, signer_public: &PublicKey, serial: &[u8]) -> Vec<u8> {
    let subject = name(&template.subject(serial));
    let mut extensions = vec![
        extension(OID_KEY_USAGE, true, &key_usage(template.key_usage())),
        extension(OID_BASIC_CONSTRAINTS, true, &asn1::sequence(&[TRUE])),
        extension(OID_SUBJECT_KEY_ID, false, &asn1::value(tag::OCTET_STRING, &key_id(signer_public))),
    ];
    if !template.uris.is_empty() {
        let names = AlternativeNames { uris: template.uris.clone(), ..AlternativeNames::default() };
        extensions.push(extension(OID_SUBJECT_ALT_NAME, false, &alternative_names(&names)));
    }
    let validity = (template.not_before, template.not_after);
    body_of(serial, signer_public, &subject, validity, &subject, signer_public, &extensions)
}

fn body(
    serial: &[u8],
    signer: &Signer,
    issuer: &[u8],
    validity: (Timestamp, Timestamp),
    subject: &[u8],
    key: &PublicKey,
    extensions: &[Vec<u8>],
) -> Vec<u8> {
    body_of(serial, &signer.key.public, issuer, validity, subject, key, extensions)
}

fn body_of(
    serial: &[u8],
    signer: &PublicKey,
    issuer: &[u8],
    validity: (Timestamp, Timestamp),
    subject: &[u8],
    key: &PublicKey,
    extensions: &[Vec<u8>],
) -> Vec<u8> {
    asn1::sequence(&[
        &asn1::value(VERSION, V3),
        &asn1::unsigned(serial),
        Scheme::x509(signer.algorithm()).algorithm_identifier(),
        issuer,
        &asn1::sequence(&[&time(validity.0), &time(validity.1)]),
        subject,
        &key.spki_der(),
        &asn1::value(EXTENSIONS, &asn1::value(tag::SEQUENCE, &extensions.concat())),
    ])
}

/// A distinguished name.
pub(crate) fn name(attributes: &[(String, String)]) -> Vec<u8> {
    let of = |oid: &str| {
        let values = attributes.iter().filter(|(key, _)| key == oid);
        values.map(|(key, value)| attribute(key, value)).collect::<Vec<_>>()
    };
    let mut rdns: Vec<Vec<u8>> =
        SHARED.iter().map(|oid| of(oid)).filter(|values| !values.is_empty()).map(asn1::set_of).collect();
    for oid in [COMMON_NAME, SERIAL_NUMBER] {
        rdns.extend(of(oid).into_iter().map(|value| asn1::set_of(vec![value])));
    }
    let ordered = |oid: &str| SHARED.contains(&oid) || oid == COMMON_NAME || oid == SERIAL_NUMBER;
    for (oid, value) in attributes.iter().filter(|(oid, _)| !ordered(oid)) {
        rdns.push(asn1::set_of(vec![attribute(oid, value)]));
    }
    asn1::value(tag::SEQUENCE, &rdns.concat())
}

fn attribute(oid: &str, value: &str) -> Vec<u8> {
    let string = if value.bytes().all(is_printable) { tag::PRINTABLE_STRING } else { tag::UTF8_STRING };
    asn1::sequence(&[&object_identifier(oid), &asn1::value(string, value.as_bytes())])
}

/// The alphabet of PrintableString (X.680 §41.4).
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

/// A dotted object identifier; the templates' check has seen that it is one.
fn object_identifier(dotted: &str) -> Vec<u8> {
    let mut arcs = dotted.split('.').map(|arc| arc.parse::<u64>().unwrap_or(0));
    let (first, second) = (arcs.next().unwrap_or(0), arcs.next().unwrap_or(0));
    let mut content = Vec::new();
    for arc in std::iter::once(first.saturating_mul(40).saturating_add(second)).chain(arcs) {
        let digits = (0..10).rev().map(|group| (arc >> (7 * group) & 0x7f) as u8).skip_while(|digit| *digit == 0);
        let mut digits: Vec<u8> = digits.map(|digit| digit | 0x80).collect();
        match digits.last_mut() {
            Some(last) => *last &= 0x7f,
            None => digits.push(0),
        }
        content.extend(digits);
    }
    asn1::value(tag::OID, &content)
}

/// UTCTime until 2049, GeneralizedTime after (RFC 5280 §4.1.2.5); fractions of a second fall away.
pub(crate) fn time(time: Timestamp) -> Vec<u8> {
    let at = Offset::UTC.to_datetime(time);
    let rest = format!("{:02}{:02}{:02}{:02}{:02}Z", at.month(), at.day(), at.hour(), at.minute(), at.second());
    if (1950..2050).contains(&at.year()) {
        asn1::value(tag::UTC_TIME, format!("{:02}{rest}", at.year() % 100).as_bytes())
    } else {
        asn1::value(tag::GENERALIZED_TIME, format!("{:04}{rest}", at.year()).as_bytes())
    }
}

pub(crate) fn extension(oid: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { TRUE } else { &[] };
    asn1::sequence(&[oid, critical, &asn1::value(tag::OCTET_STRING, content)])
}

/// A named bit list: trailing zero bits are left out (X.690 §11.2.2).
fn key_usage(usage: KeyUsage) -> Vec<u8> {
    let bytes = usage.0.to_be_bytes();
    let used = if bytes[1] == 0 { &bytes[..1] } else { &bytes[..] };
    let unused = used.last().map_or(0, |byte| byte.trailing_zeros() as u8);
    asn1::constructed(tag::BIT_STRING, &[&[unused], used])
}

fn alternative_names(names: &AlternativeNames) -> Vec<u8> {
    let mut out = Vec::new();
    for dns in &names.dns {
        out.extend(asn1::value(0x82, dns.as_bytes()));
    }
    for uri in &names.uris {
        out.extend(asn1::value(0x86, uri.as_bytes()));
    }
    for address in &names.ip {
        out.extend(match address {
            IpAddr::V4(v4) => asn1::value(0x87, &v4.octets()),
            IpAddr::V6(v6) => asn1::value(0x87, &v6.octets()),
        });
    }
    asn1::value(tag::SEQUENCE, &out)
}

/// The key identifier: 160 bits of SHA-256 over the key (RFC 7093 §2, method 1).
pub(crate) fn key_id(public: &PublicKey) -> Vec<u8> {
    hash::sha256(&public.raw())[..20].to_vec()
}

pub(crate) fn authority_key_id(public: &PublicKey) -> Vec<u8> {
    asn1::sequence(&[&asn1::value(KEY_IDENTIFIER, &key_id(public))])
}
