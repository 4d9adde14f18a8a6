//! X.509 CRLs (RFC 5280 §5).

use clock::Timestamp;
use crypto::asn1::{self, tag};
use keystore::KeyStore;

use crate::Error;
use crate::x509::encode::{OID_AUTHORITY_KEY_ID, OID_CRL_NUMBER, authority_key_id, extension, time};
use crate::x509::{Signer, sign_der};

/// `[0]`, explicit: the extensions of the list.
const EXTENSIONS: u8 = 0xa0;
/// Version 2.
const V2: &[u8] = b"\x02\x01\x01";
const OID_REASON: &[u8] = b"\x06\x03\x55\x1d\x15";

/// Why a certificate was revoked (RFC 5280 §5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reason {
    /// Not said: the entry has no reason.
    #[default]
    Unspecified,
    /// The key is in wrong hands.
    KeyCompromise,
    /// Replaced by another.
    Superseded,
    /// The subject does no longer do what the certificate was for.
    CessationOfOperation,
}

impl Reason {
    fn code(self) -> Option<u8> {
        match self {
            Self::Unspecified => None,
            Self::KeyCompromise => Some(1),
            Self::Superseded => Some(4),
            Self::CessationOfOperation => Some(5),
        }
    }
}

/// A revoked certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number, big-endian.
    pub serial: Vec<u8>,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: Reason,
}

/// Signs a list (DER). It carries the authority's key id and, as its number, the time of issue in Unix seconds: lists
/// of one authority so never go back, whichever replica signs them.
///
/// # Errors
/// [`Error::Refused`] for times that make no sense, [`Error::KeyStore`]
pub async fn x509_crl(
    revoked: &[Revoked],
    this_update: Timestamp,
    next_update: Option<Timestamp>,
    signer: &Signer,
    key_store: &dyn KeyStore,
) -> Result<Vec<u8>, Error> {
    let number =
        u64::try_from(this_update.as_second()).map_err(|_| Error::refused("CRL", "its time lies before 1970"))?;
    if next_update.is_some_and(|next| next <= this_update) {
        return Err(Error::refused("CRL", "the next update would come before this one"));
    }
    let mut entries: Vec<&Revoked> = revoked.iter().collect();
    entries.sort_by(|a, b| (a.serial.len(), &a.serial).cmp(&(b.serial.len(), &b.serial)));
    entries.dedup_by(|a, b| a.serial == b.serial);
    let entries: Vec<u8> = entries.into_iter().flat_map(entry).collect();
    // An empty list of entries must be left out (RFC 5280 §5.1.2.6).
    let entries = if entries.is_empty() { entries } else { asn1::value(tag::SEQUENCE, &entries) };
    let extensions = asn1::sequence(&[
        &extension(OID_AUTHORITY_KEY_ID, false, &authority_key_id(&signer.key.public)),
        &extension(OID_CRL_NUMBER, false, &asn1::unsigned(&number.to_be_bytes())),
    ]);
    let tbs = asn1::sequence(&[
        V2,
        crypto::Scheme::x509(signer.key.public.algorithm()).algorithm_identifier(),
        signer.certificate.subject_der(),
        &time(this_update),
        &next_update.map(time).unwrap_or_default(),
        &entries,
        &asn1::value(EXTENSIONS, &extensions),
    ]);
    sign_der(&tbs, &signer.key, key_store).await
}

fn entry(revoked: &Revoked) -> Vec<u8> {
    let reason = revoked
        .reason
        .code()
        .map(|code| asn1::sequence(&[&extension(OID_REASON, false, &asn1::value(tag::ENUMERATED, &[code]))]));
    asn1::sequence(&[&asn1::unsigned(&revoked.serial), &time(revoked.since), &reason.unwrap_or_default()])
}
