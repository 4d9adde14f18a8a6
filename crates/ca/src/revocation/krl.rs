//! OpenSSH key revocation lists (`PROTOCOL.krl`), for sshd's `RevokedKeys`.

use clock::Timestamp;
use crypto::PublicKey;
use crypto::ssh::wire::Writer;

use crate::Error;

const MAGIC: &[u8] = b"SSHKRL\n\0";
const FORMAT: u32 = 1;

const SECTION_CERTIFICATES: u8 = 1;
const SECTION_EXPLICIT_KEY: u8 = 2;
const CERT_SERIAL_LIST: u8 = 0x20;
const CERT_KEY_ID: u8 = 0x23;

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SshRevocation {
    /// The certificate with this serial number, signed by this authority. Never 0.
    Serial {
        /// The authority's key.
        authority: PublicKey,
        /// The serial number.
        serial: u64,
    },
    /// All certificates with this key id, signed by this authority.
    KeyId {
        /// The authority's key.
        authority: PublicKey,
        /// The key id: for our users the user name.
        key_id: String,
    },
    /// This key, plain or in a certificate; an authority's key revokes all that it signed.
    Key(PublicKey),
}

/// A key revocation list. Ours is not signed: it is fetched over an authenticated connection, and OpenSSH dropped
/// signed ones.
#[derive(Debug, Clone)]
pub struct KeyRevocationList {
    /// Rises with each list.
    pub version: u64,
    /// When it was made.
    pub generated: Timestamp,
    /// Free text, for `ssh-keygen -Q`.
    pub comment: String,
    /// What is revoked.
    pub revocations: Vec<SshRevocation>,
}

impl KeyRevocationList {
    /// The file's bytes.
    ///
    /// # Errors
    /// [`Error::Refused`] for the serial number 0, which OpenSSH takes for "none".
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        let mut out = Writer::default();
        out.raw(MAGIC);
        out.u32(FORMAT);
        out.u64(self.version);
        out.u64(u64::try_from(self.generated.as_second()).unwrap_or(0));
        out.u64(0);
        out.string(b"");
        out.string(self.comment.as_bytes());
        for authority in self.authorities() {
            out.raw(&[SECTION_CERTIFICATES]);
            out.string(&self.certificates(authority)?);
        }
        let mut keys = Writer::default();
        for revocation in &self.revocations {
            if let SshRevocation::Key(key) = revocation {
                keys.string(&key.ssh_wire());
            }
        }
        let keys = keys.into_bytes();
        if !keys.is_empty() {
            out.raw(&[SECTION_EXPLICIT_KEY]);
            out.string(&keys);
        }
        Ok(out.into_bytes())
    }

    fn authorities(&self) -> Vec<&PublicKey> {
        let mut found = Vec::new();
        for revocation in &self.revocations {
            match revocation {
                SshRevocation::Serial { authority, .. } | SshRevocation::KeyId { authority, .. }
                    if !found.contains(&authority) =>
                {
                    found.push(authority);
                }
                _ => {}
            }
        }
        found
    }

    fn certificates(&self, wanted: &PublicKey) -> Result<Vec<u8>, Error> {
        let (mut serials, mut key_ids) = (Vec::new(), Vec::new());
        for revocation in &self.revocations {
            match revocation {
                SshRevocation::Serial { serial: 0, .. } => {
                    return Err(Error::refused(
                        "key revocation list",
                        "a certificate without serial number is revoked by its key id or key",
                    ));
                }
                SshRevocation::Serial { authority, serial } if authority == wanted => serials.push(*serial),
                SshRevocation::KeyId { authority, key_id } if authority == wanted => key_ids.push(key_id.as_str()),
                _ => {}
            }
        }
        serials.sort_unstable();
        serials.dedup();
        key_ids.sort_unstable();
        key_ids.dedup();
        let mut out = Writer::default();
        out.string(&wanted.ssh_wire());
        out.string(b"");
        if !serials.is_empty() {
            let mut list = Writer::default();
            serials.into_iter().for_each(|serial| list.u64(serial));
            out.raw(&[CERT_SERIAL_LIST]);
            out.string(&list.into_bytes());
        }
        if !key_ids.is_empty() {
            let mut list = Writer::default();
            key_ids.into_iter().for_each(|key_id| list.string(key_id.as_bytes()));
            out.raw(&[CERT_KEY_ID]);
            out.string(&list.into_bytes());
        }
        Ok(out.into_bytes())
    }
}
