//! The identity file: key, SSH certificate, TLS certificate and authorities in one text.

use std::path::Path;

use crypto::{KeyPair, SecretString, ssh};

use super::{CredentialsError, read};

/// An identity file, taken apart. Each field is text as it stands in the file.
#[derive(Debug, Clone)]
pub struct IdentityFile {
    /// PEM private key of both certificates.
    pub key: SecretString,
    /// `<type>-cert-v01@openssh.com AAAA…`, one line without its end.
    pub ssh_certificate: String,
    /// PEM client certificate.
    pub tls_certificate: String,
    /// `@cert-authority …` lines without their ends.
    pub ssh_authorities: Vec<String>,
    /// PEM certificates of the authorities to trust.
    pub tls_authorities: Vec<String>,
}

impl IdentityFile {
    /// Reads a file; without an SSH certificate in it, `<path>-cert.pub` is read for one.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn read(path: &Path) -> Result<Self, CredentialsError> {
        let mut scanned = scan(&read(path)?);
        if scanned.ssh_certificate.is_none() {
            let mut beside = path.as_os_str().to_owned();
            beside.push("-cert.pub");
            scanned.ssh_certificate = read(Path::new(&beside)).ok().map(|text| text.trim().to_owned());
        }
        scanned.finish()
    }

    /// Reads the text of an identity file.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        scan(text).finish()
    }

    /// The text of the file, in the order that every reader expects.
    pub fn render(&self) -> SecretString {
        let mut text = String::new();
        let lines = self.ssh_authorities.iter();
        let parts = [self.key.expose(), &self.ssh_certificate, &self.tls_certificate].into_iter();
        for part in parts.chain(lines).chain(self.tls_authorities.iter()) {
            text.push_str(part.trim_end_matches('\n'));
            text.push('\n');
        }
        SecretString::new(text)
    }
}

/// What a scan has found; PEM blocks count by position, as the official reader does it.
#[derive(Default)]
struct Scan {
    blocks: Vec<String>,
    ssh_certificate: Option<String>,
    ssh_authorities: Vec<String>,
}

fn scan(text: &str) -> Scan {
    let mut scan = Scan::default();
    let mut block: Option<String> = None;
    for line in text.lines().map(str::trim_end) {
        if let Some(open) = &mut block {
            open.push_str(line);
            open.push('\n');
            if line.starts_with("-----END") {
                scan.blocks.extend(block.take());
            }
        } else if line.starts_with("-----BEGIN") {
            block = Some(format!("{line}\n"));
        } else if line.starts_with("@cert-authority") {
            scan.ssh_authorities.push(line.to_owned());
        } else if line.split_once(' ').is_some_and(|(first, _)| is_ssh_certificate_type(first)) {
            scan.ssh_certificate = Some(line.to_owned());
        }
    }
    scan
}

impl Scan {
    fn finish(self) -> Result<IdentityFile, CredentialsError> {
        let ssh_certificate = self.ssh_certificate.ok_or(CredentialsError::NoSshCertificate)?;
        let mut blocks = self.blocks.into_iter();
        let mut next = |what| blocks.next().ok_or_else(|| CredentialsError::malformed(what, "there is none"));
        let file = IdentityFile {
            key: SecretString::new(next("private key")?),
            ssh_certificate,
            tls_certificate: next("TLS certificate")?,
            ssh_authorities: self.ssh_authorities,
            tls_authorities: blocks.collect(),
        };
        file.check_ssh_key()?;
        Ok(file)
    }
}

impl IdentityFile {
    fn check_ssh_key(&self) -> Result<(), CredentialsError> {
        let key =
            KeyPair::from_pem(self.key.expose()).map_err(|error| CredentialsError::malformed("private key", error))?;
        let certificate = ssh::Certificate::from_line(&self.ssh_certificate)
            .map_err(|error| CredentialsError::malformed("SSH certificate", error))?;
        if certificate.public_key() != key.public() {
            return Err(CredentialsError::Mismatch { what: "SSH certificate" });
        }
        Ok(())
    }
}

/// `^[a-z0-9-]+-cert-v[0-9]{2}@openssh\.com$`
fn is_ssh_certificate_type(word: &str) -> bool {
    let Some((name, version)) = word.strip_suffix("@openssh.com").and_then(|word| word.rsplit_once("-cert-v")) else {
        return false;
    };
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(is_name) && version.len() == 2 && version.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_word_makes_a_line_an_ssh_certificate() {
        for (word, is) in [
            ("ssh-ed25519-cert-v01@openssh.com", true),
            ("ecdsa-sha2-nistp256-cert-v01@openssh.com", true),
            ("ssh-ed25519", false),
            ("ssh-ed25519-cert-v1@openssh.com", false),
            ("-cert-v01@openssh.com", false),
            ("SSH-cert-v01@openssh.com", false),
        ] {
            assert_eq!(is_ssh_certificate_type(word), is, "{word}");
        }
    }

    #[test]
    fn blocks_count_by_position_and_the_last_ssh_certificate_wins() {
        let text = "junk\n-----BEGIN PRIVATE KEY-----\nA\n-----END PRIVATE KEY-----\n\
            a-cert-v01@openssh.com AAAA\nb-cert-v01@openssh.com BBBB\n\
            -----BEGIN CERTIFICATE-----\nB\n-----END CERTIFICATE-----\n@cert-authority * x\n\
            -----BEGIN CERTIFICATE-----\nC\n-----END CERTIFICATE-----\n\
            -----BEGIN CERTIFICATE-----\nD\n-----END CERTIFICATE-----\n";
        let scan = scan(text);
        assert_eq!(scan.blocks.len(), 4);
        assert_eq!(scan.ssh_certificate.as_deref(), Some("b-cert-v01@openssh.com BBBB"));
        assert_eq!(scan.ssh_authorities, ["@cert-authority * x"]);
        assert!(matches!(IdentityFile::parse("nothing"), Err(CredentialsError::NoSshCertificate)));
    }
}
