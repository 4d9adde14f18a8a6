//! Public keys and times as requests carry them.

use auth::Issued;
use clock::Timestamp;
use crypto::PublicKey;
use domain::Error;

use api::r#gen::proto::Certs;

/// A PEM public key; empty for none.
pub(crate) fn tls_key(field: &str, bytes: &[u8]) -> Result<Option<PublicKey>, Error> {
    read(field, bytes, "a PEM public key", PublicKey::from_pem)
}

/// An authorized_keys line; empty for none.
pub(crate) fn ssh_key(field: &str, bytes: &[u8]) -> Result<Option<PublicKey>, Error> {
    read(field, bytes, "an OpenSSH public key", PublicKey::from_authorized_key)
}

fn read(
    field: &str,
    bytes: &[u8],
    what: &str,
    parse: impl Fn(&str) -> Result<PublicKey, crypto::KeyError>,
) -> Result<Option<PublicKey>, Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid(format!("{field}: must be {what}")))?;
    parse(text.trim()).map(Some).map_err(|error| Error::invalid(format!("{field}: must be {what}: {error}")))
}

/// A time; absent, zero and the year 1 mean that none was given.
pub(crate) fn time(timestamp: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    let timestamp = timestamp.filter(|time| time.seconds > 0)?;
    Timestamp::new(timestamp.seconds, timestamp.nanos).ok()
}

/// Certificates in the form of the older messages: lines and PEM.
pub(crate) fn certs(issued: &Issued) -> Certs {
    Certs {
        ssh: issued.ssh.as_ref().map(|ssh| (ssh.to_line() + "\n").into_bytes()).unwrap_or_default(),
        tls: issued.tls.as_ref().map(|tls| tls.to_pem().into_bytes()).unwrap_or_default(),
        tlsca_certs: issued.tls_authorities.iter().map(|ca| ca.to_pem().into_bytes()).collect(),
        sshca_certs: issued.ssh_authorities.iter().map(|key| key.to_authorized_key().into_bytes()).collect(),
    }
}
