//! SSH certificates (OpenSSH `PROTOCOL.certkeys`).

mod template;

use crypto::ssh::wire::Writer;
use crypto::ssh::{self, CERTIFICATE_SUFFIX, Certificate, CertificateType};
use crypto::{Random, Scheme};
use keystore::{KeyStore, StoredKey};

pub use self::template::{LOCAL_NAMES, Template, host_template, user_template};
use crate::Error;

const WHAT: &str = "SSH certificate";

/// OpenSSH refuses a certificate with more principals (`SSHKEY_CERT_MAX_PRINCIPALS`).
pub const MOST_PRINCIPALS: usize = 256;

/// Issues a certificate.
///
/// # Errors
/// [`Error::Refused`] for what a CA of ours does not sign, [`Error::KeyStore`]; [`Error::Lint`] only by a defect.
pub async fn issue(
    template: &Template,
    signer: &StoredKey,
    key_store: &dyn KeyStore,
    random: &Random,
) -> Result<Certificate, Error> {
    sign(to_be_signed(template, signer, random)?, signer, key_store).await
}

/// Signs what [`to_be_signed`] made. Between the two a caller makes the record durable that limits the certificate.
///
/// # Errors
/// [`Error::KeyStore`]
pub async fn sign(mut wire: Vec<u8>, signer: &StoredKey, key_store: &dyn KeyStore) -> Result<Certificate, Error> {
    let scheme = Scheme::ssh(signer.public.algorithm());
    let signature = key_store.sign(signer, scheme, &wire).await?;
    let lint = |_| Error::Lint { what: WHAT, field: "signature" };
    let mut tail = Writer::default();
    tail.string(&ssh::signature_blob(scheme, &signature).map_err(lint)?);
    wire.extend(tail.into_bytes());
    Certificate::from_wire(&wire).map_err(lint)
}

/// The checked and linted bytes that [`issue`] signs.
///
/// # Errors
/// As [`issue`].
pub fn to_be_signed(template: &Template, signer: &StoredKey, random: &Random) -> Result<Vec<u8>, Error> {
    check(template, signer)?;
    let nonce: [u8; 32] = random.bytes();
    // Never 0: OpenSSH takes 0 for "no serial", and a KRL cannot name it.
    let serial = u64::from_be_bytes(random.bytes()) | 1;
    let body = encode(template, signer, &nonce, serial);
    lint(&body, template, signer, serial)?;
    Ok(body)
}

fn check(template: &Template, signer: &StoredKey) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::refused(WHAT, reason));
    if template.valid_after >= template.valid_before {
        return refuse("it would never be valid".to_owned());
    }
    // To OpenSSH an empty list means that the certificate is good for every account.
    if template.principals.is_empty() || template.principals.iter().any(String::is_empty) {
        return refuse("it has no principals, or an empty one".to_owned());
    }
    if template.principals.len() > MOST_PRINCIPALS {
        return refuse(format!("it has more than {MOST_PRINCIPALS} principals"));
    }
    if template.public_key == signer.public {
        return refuse("the public key is the authority's own".to_owned());
    }
    for options in [&template.critical_options, &template.extensions] {
        let mut names: Vec<&str> = options.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) || names.first() == Some(&"") {
            return refuse("an option is given twice or has no name".to_owned());
        }
    }
    Ok(())
}

fn encode(template: &Template, signer: &StoredKey, nonce: &[u8], serial: u64) -> Vec<u8> {
    let mut out = Writer::default();
    out.string(format!("{}{CERTIFICATE_SUFFIX}", template.public_key.ssh_name()).as_bytes());
    out.string(nonce);
    template.public_key.write_ssh_fields(&mut out);
    out.u64(serial);
    out.u32(match template.cert_type {
        CertificateType::User => 1,
        CertificateType::Host => 2,
    });
    out.string(template.key_id.as_bytes());
    let mut principals = Writer::default();
    for principal in &template.principals {
        principals.string(principal.as_bytes());
    }
    out.string(&principals.into_bytes());
    out.u64(u64::try_from(template.valid_after.as_second()).unwrap_or(0));
    out.u64(u64::try_from(template.valid_before.as_second()).unwrap_or(0));
    out.string(&options(&template.critical_options));
    out.string(&options(&template.extensions));
    out.string(b"");
    out.string(&signer.public.ssh_wire());
    out.into_bytes()
}

/// Options in the order of their names, which sshd insists on; a value is a string within the string.
fn options(options: &[(String, String)]) -> Vec<u8> {
    let mut sorted: Vec<&(String, String)> = options.iter().collect();
    sorted.sort();
    let mut out = Writer::default();
    for (name, value) in sorted {
        out.string(name.as_bytes());
        let mut data = Writer::default();
        if !value.is_empty() {
            data.string(value.as_bytes());
        }
        out.string(&data.into_bytes());
    }
    out.into_bytes()
}

fn lint(body: &[u8], template: &Template, signer: &StoredKey, serial: u64) -> Result<(), Error> {
    let found = Certificate::from_unsigned(body).map_err(|_| Error::Lint { what: WHAT, field: "the encoding" })?;
    let same = |found: &[(String, String)], wanted: &[(String, String)]| {
        let mut wanted = wanted.to_vec();
        wanted.sort();
        found == wanted
    };
    let checks = [
        ("type", found.cert_type() == template.cert_type),
        ("public key", *found.public_key() == template.public_key),
        ("serial number", found.serial() == serial && serial != 0),
        ("key id", found.key_id() == template.key_id),
        ("principals", found.principals() == template.principals),
        ("valid after", found.valid_after().as_second() == template.valid_after.as_second()),
        ("valid before", found.valid_before().as_second() == template.valid_before.as_second()),
        ("critical options", same(found.critical_options(), &template.critical_options)),
        ("extensions", same(found.extensions(), &template.extensions)),
        ("signature key", *found.signature_key() == signer.public),
    ];
    match checks.into_iter().find(|(_, holds)| !holds) {
        Some((field, _)) => Err(Error::Lint { what: WHAT, field }),
        None => Ok(()),
    }
}
