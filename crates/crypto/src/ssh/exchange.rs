//! Key agreement with keys for one exchange (RFC 8731, RFC 5656 §4).

use aws_lc_rs::{
    agreement::{self, ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, X25519},
    rand::SystemRandom,
};

use crate::{KeyError, SecretBytes};

/// The curve of an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// Curve25519.
    X25519,
    /// NIST P-256; public keys are uncompressed points.
    P256,
}

/// One side's key, good for one agreement.
pub struct Ephemeral {
    private: EphemeralPrivateKey,
    public: Vec<u8>,
}

impl Ephemeral {
    /// A new key.
    ///
    /// # Errors
    /// The library failed.
    pub fn generate(curve: Curve) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Failed("making a key for an exchange");
        let algorithm = match curve {
            Curve::X25519 => &X25519,
            Curve::P256 => &ECDH_P256,
        };
        let private = EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).map_err(failed)?;
        let public = private.compute_public_key().map_err(failed)?.as_ref().to_vec();
        Ok(Self { private, public })
    }

    /// What the other side needs.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The secret that both sides find, big-endian.
    ///
    /// # Errors
    /// [`KeyError::Malformed`]: `peer` is no point of the curve, or one that gives a secret which anybody knows
    /// (RFC 7748 §6.1).
    pub fn agree(self, peer: &[u8]) -> Result<SecretBytes, KeyError> {
        let peer = UnparsedPublicKey::new(self.private.algorithm(), peer);
        agreement::agree_ephemeral(self.private, peer, KeyError::Malformed, |secret| Ok(SecretBytes::from(secret)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_find_one_secret() {
        for curve in [Curve::X25519, Curve::P256] {
            let (a, b) = (Ephemeral::generate(curve).unwrap(), Ephemeral::generate(curve).unwrap());
            let (for_a, for_b) = (b.public().to_vec(), a.public().to_vec());
            assert_eq!(a.agree(&for_a).unwrap(), b.agree(&for_b).unwrap());
        }
    }

    #[test]
    fn a_point_that_leaves_no_secret_is_refused() {
        for (curve, points) in [(Curve::X25519, [vec![0; 32], vec![1; 31]]), (Curve::P256, [vec![4; 65], vec![0; 1]])] {
            for point in points {
                assert!(Ephemeral::generate(curve).unwrap().agree(&point).is_err(), "{curve:?} {point:?}");
            }
        }
    }
}
