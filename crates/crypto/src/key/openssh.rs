//! OpenSSH's private key format (`PROTOCOL.key`), without passphrase.

use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use zeroize::{Zeroize, Zeroizing};

use super::private::{Inner, pkcs1_of};
use super::{Algorithm, KeyError, KeyPair, PublicKey};
use crate::SecretString;
use crate::asn1::{Reader as DerReader, tag};
use crate::ssh::wire::{Reader, Writer};

const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Padding granularity of the cipher `none`.
const BLOCK: usize = 8;

pub(super) fn write(key: &KeyPair, comment: &str) -> Result<SecretString, KeyError> {
    let public = key.public();
    let mut private = Writer::default();
    // Two equal numbers show a reader that its passphrase was right; without passphrase any number will do.
    let check = &public.sha256()[..4];
    private.raw(check);
    private.raw(check);
    private.string(public.ssh_name().as_bytes());
    write_private_fields(key, &mut private)?;
    private.string(comment.as_bytes());
    let mut private = private.into_bytes();
    for pad in 1..=(private.len().next_multiple_of(BLOCK) - private.len()) as u8 {
        private.push(pad);
    }

    let mut out = Writer::default();
    out.raw(MAGIC);
    out.string(b"none");
    out.string(b"none");
    out.string(b"");
    out.u32(1);
    out.string(&public.ssh_wire());
    out.string(&private);
    private.zeroize();
    let out = Zeroizing::new(out.into_bytes());
    Ok(super::encode_secret_pem("OPENSSH PRIVATE KEY", &out))
}

fn write_private_fields(key: &KeyPair, out: &mut Writer) -> Result<(), KeyError> {
    let pkcs8 = key.to_pkcs8_der()?;
    let inner = pkcs1_of(pkcs8.expose())?;
    match key.algorithm() {
        Algorithm::Ed25519 => {
            let seed = DerReader::new(inner).expect(tag::OCTET_STRING)?;
            let public = key.public().raw();
            out.string(&public);
            out.string(&Zeroizing::new([seed, &public].concat()));
        }
        Algorithm::EcdsaP256 => {
            let mut sec1 = DerReader::new(inner).enter(tag::SEQUENCE)?;
            sec1.unsigned()?;
            key.public().write_ssh_fields(out);
            out.mpint(sec1.expect(tag::OCTET_STRING)?);
        }
        Algorithm::Rsa2048 => {
            let mut rsa = DerReader::new(inner).enter(tag::SEQUENCE)?;
            rsa.unsigned()?;
            let (n, e, d, p, q) = (rsa.unsigned()?, rsa.unsigned()?, rsa.unsigned()?, rsa.unsigned()?, rsa.unsigned()?);
            rsa.unsigned()?;
            rsa.unsigned()?;
            let iqmp = rsa.unsigned()?;
            for number in [n, e, d, iqmp, p, q] {
                out.mpint(number);
            }
        }
    }
    Ok(())
}

pub(super) fn read(bytes: &[u8]) -> Result<KeyPair, KeyError> {
    let mut outer = Reader::new(bytes.strip_prefix(MAGIC).ok_or(KeyError::Malformed)?);
    if outer.string()? != b"none" {
        return Err(KeyError::Encrypted);
    }
    let (_kdf, _options, keys, _public) = (outer.string()?, outer.string()?, outer.u32()?, outer.string()?);
    let mut private = Reader::new(outer.string()?);
    if keys != 1 || private.u32()? != private.u32()? {
        return Err(KeyError::Malformed);
    }
    let kind = private.string()?;
    KeyPair::from_inner(match kind {
        b"ssh-ed25519" => {
            let (public, secret) = (private.string()?, private.string()?);
            let seed = secret.get(..32).ok_or(KeyError::Malformed)?;
            Inner::Ed25519(Ed25519KeyPair::from_seed_and_public_key(seed, public).map_err(|_| KeyError::Malformed)?)
        }
        b"ecdsa-sha2-nistp256" => {
            let point = PublicKey::from_ssh_fields(kind, &mut private)?.raw();
            let number = private.mpint()?;
            let mut scalar = Zeroizing::new([0; 32]);
            let start = 32_usize.checked_sub(number.len()).ok_or(KeyError::Malformed)?;
            scalar[start..].copy_from_slice(number);
            let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
            Inner::EcdsaP256(
                EcdsaKeyPair::from_private_key_and_public_key(algorithm, &*scalar, &point)
                    .map_err(|_| KeyError::Malformed)?,
            )
        }
        b"ssh-rsa" => Inner::Rsa(read_rsa(&mut private)?),
        other => {
            return Err(KeyError::Unsupported(String::from_utf8_lossy(&other[..other.len().min(64)]).into_owned()));
        }
    })
}

fn read_rsa(fields: &mut Reader<'_>) -> Result<RsaKeyPair, KeyError> {
    let (n, e, d) = (fields.mpint()?, fields.mpint()?, fields.mpint()?);
    let (iqmp, p, q) = (fields.mpint()?, fields.mpint()?, fields.mpint()?);
    let (d_p, d_q) = (modulo_one_less(d, p)?, modulo_one_less(d, q)?);
    RsaKeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        d,
        p,
        q,
        dP: &d_p[..],
        dQ: &d_q[..],
        qInv: iqmp,
    })
    .map_err(|_| KeyError::Malformed)
}

/// `value mod (prime - 1)`: OpenSSH leaves out the two exponents that PKCS#1 keeps. Bit by bit and not constant in time,
/// which is fine for reading one's own key file once.
fn modulo_one_less(value: &[u8], prime: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    /// Sixteen bytes more than RSA-8192 needs; a larger "prime" is a joke at our expense.
    const LARGEST: usize = 528;
    if prime.len() > LARGEST || value.len() > 2 * LARGEST || prime.last().is_none_or(|byte| byte & 1 == 0) {
        return Err(KeyError::Malformed);
    }
    // An odd number less one: clear the last bit.
    let mut modulus = Zeroizing::new([&[0], prime].concat());
    if let Some(last) = modulus.last_mut() {
        *last &= 0xfe;
    }
    let mut rest = Zeroizing::new(vec![0_u8; modulus.len()]);
    for bit in value.iter().flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1)) {
        let mut carry = bit;
        for byte in rest.iter_mut().rev() {
            (*byte, carry) = (*byte << 1 | carry, *byte >> 7);
        }
        if *rest >= *modulus {
            let mut borrow = false;
            for (byte, less) in rest.iter_mut().zip(modulus.iter()).rev() {
                let (first, b1) = byte.overflowing_sub(*less);
                let (second, b2) = first.overflowing_sub(u8::from(borrow));
                (*byte, borrow) = (second, b1 || b2);
            }
        }
    }
    Ok(rest)
}
