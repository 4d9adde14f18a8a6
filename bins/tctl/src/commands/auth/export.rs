//! `tctl auth export`: what others need to trust an authority.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::ValueEnum;
use crypto::{KeyPair, PublicKey, x509::Certificate};
use domain::{Error, ca::CaType, resources::CertAuthority};

use super::sign::write_file;
use crate::{cluster, session::Session};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tctl auth export --type=user | sed 's/^cert-authority //' > /etc/ssh/user_ca.pub\n  \
                        tctl auth export --type=host >> ~/.ssh/known_hosts\n  tctl auth export --type=tls-host > host-ca.pem\n  \
                        tctl auth export --type=tls-user --keys --out=user-ca"
)]
pub(crate) struct Args {
    /// What to export [default: user and host, for OpenSSH].
    #[arg(long = "type")]
    kind: Option<Export>,
    /// Export private keys instead; only for an administrator on the auth host, and audited.
    #[arg(long)]
    keys: bool,
    /// Only the key with this fingerprint, `SHA256:…`.
    #[arg(long)]
    fingerprint: Option<String>,
    /// An older format; `1.0` leaves out the markers that OpenSSH reads.
    #[arg(long)]
    compat: Option<String>,
    /// Write each key or certificate to a file of its own that begins with this.
    #[arg(long, value_name = "PREFIX")]
    out: Option<PathBuf>,
    /// Name of the integration whose key `--type=github` exports.
    #[arg(long, value_name = "NAME")]
    integration: Option<String>,
}

/// Which authority, in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Export {
    User,
    Host,
    #[value(alias = "tls")]
    TlsHost,
    TlsHostDer,
    TlsUser,
    TlsUserDer,
    TlsSpiffe,
    TlsSpiffeDer,
    Db,
    DbDer,
    DbClient,
    DbClientDer,
    Openssh,
    SamlIdp,
    OidcIdp,
    Jwt,
    Windows,
    #[value(name = "awsra")]
    AwsRa,
    BoundKeypair,
    Okta,
    /// Keys of Git integrations (not supported yet).
    Github,
}

/// In which form a key or certificate is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Ssh,
    Pem,
    Der,
    Jwt,
}

impl Form {
    /// Which of an authority's keys it shows.
    fn key_use(self) -> &'static str {
        match self {
            Form::Ssh => "ssh",
            Form::Pem | Form::Der => "tls",
            Form::Jwt => "jwt",
        }
    }
}

impl Export {
    /// The authority and the form; nothing for keys that this version does not have.
    fn source(self) -> Option<(CaType, Form)> {
        Some(match self {
            Export::User => (CaType::User, Form::Ssh),
            Export::Host => (CaType::Host, Form::Ssh),
            Export::Openssh => (CaType::Openssh, Form::Ssh),
            Export::TlsHost => (CaType::Host, Form::Pem),
            Export::TlsHostDer => (CaType::Host, Form::Der),
            Export::TlsUser => (CaType::User, Form::Pem),
            // A Windows domain imports the user authority: it signs the certificates of desktop users.
            Export::TlsUserDer | Export::Windows => (CaType::User, Form::Der),
            Export::TlsSpiffe => (CaType::Spiffe, Form::Pem),
            Export::TlsSpiffeDer => (CaType::Spiffe, Form::Der),
            Export::Db => (CaType::Db, Form::Pem),
            Export::DbDer => (CaType::Db, Form::Der),
            Export::DbClient => (CaType::DbClient, Form::Pem),
            Export::DbClientDer => (CaType::DbClient, Form::Der),
            Export::SamlIdp => (CaType::SamlIdp, Form::Pem),
            Export::AwsRa => (CaType::AwsRa, Form::Pem),
            Export::OidcIdp => (CaType::OidcIdp, Form::Jwt),
            Export::Jwt => (CaType::Jwt, Form::Jwt),
            Export::BoundKeypair => (CaType::BoundKeypair, Form::Jwt),
            Export::Okta => (CaType::Okta, Form::Jwt),
            Export::Github => return None,
        })
    }
}

/// The authorities and forms that the flags ask for.
fn sources(kind: Option<Export>, integration: Option<&str>) -> anyhow::Result<Vec<(CaType, Form)>> {
    if integration.is_some() && kind != Some(Export::Github) {
        bail!(cli::exit::Usage("--integration goes with --type=github".into()));
    }
    let kinds = kind.map_or_else(|| vec![Export::User, Export::Host], |kind| vec![kind]);
    let sources: Option<Vec<_>> = kinds.into_iter().map(Export::source).collect();
    Ok(sources
        .ok_or_else(|| Error::unsupported("--type=github is not supported yet: it belongs to Git integrations"))?)
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let sources = sources(args.kind, args.integration.as_deref())?;
    let client = session.client().await?;
    let mut parts = Vec::new();
    for (ca_type, form) in sources {
        if args.keys {
            for pem in cluster::private_keys(&client, ca_type, form.key_use()).await? {
                parts.extend(private_key(pem, form, args.fingerprint.as_deref())?);
            }
            continue;
        }
        let authority = cluster::authority(&client, ca_type, false).await?;
        parts.extend(export(&authority, form, &args)?);
    }
    if parts.is_empty() {
        bail!(Error::not_found(match &args.fingerprint {
            Some(wanted) => format!("no key has the fingerprint {wanted}"),
            None => "the authority has no key of this form; see tctl status".to_owned(),
        }));
    }
    if let Some(prefix) = &args.out {
        return write(session, prefix, &parts);
    }
    if parts.iter().filter(|part| std::str::from_utf8(part).is_err()).count() > 1 {
        bail!(cli::exit::Usage(
            "several DER keys or certificates cannot share standard output: add --out=PREFIX".into()
        ));
    }
    parts.iter().try_for_each(|part| session.out.bytes(part))
}

/// A private key as PEM, or as DER (PKCS #8) for the forms that are DER; nothing when another one is wanted.
fn private_key(pem: Vec<u8>, form: Form, wanted: Option<&str>) -> anyhow::Result<Option<Vec<u8>>> {
    let key = KeyPair::from_pem(std::str::from_utf8(&pem).context("a stored key is no text")?)?;
    if wanted.is_some_and(|wanted| wanted != key.public().ssh_fingerprint()) {
        return Ok(None);
    }
    Ok(Some(if form == Form::Der { key.to_pkcs8_der()?.expose().to_vec() } else { pem }))
}

fn write(session: &mut Session, prefix: &std::path::Path, parts: &[Vec<u8>]) -> anyhow::Result<()> {
    for (index, part) in parts.iter().enumerate() {
        let extension = if std::str::from_utf8(part).is_ok() { "pem" } else { "der" };
        let mut name = prefix.as_os_str().to_owned();
        name.push(if parts.len() == 1 { format!(".{extension}") } else { format!("-{index}.{extension}") });
        let path = PathBuf::from(name);
        write_file(&path, part, 0o600, false)?;
        session.out.line(path.display())?;
    }
    Ok(())
}

fn export(authority: &CertAuthority, form: Form, args: &Args) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    match form {
        Form::Ssh => {
            for line in authority.trusted_ssh() {
                let line = std::str::from_utf8(line).context("a stored SSH key is no text")?.trim();
                let key = PublicKey::from_authorized_key(line)?;
                if args.fingerprint.as_ref().is_none_or(|wanted| *wanted == key.ssh_fingerprint()) {
                    parts.push(ssh_line(authority, &key, args.compat.as_deref()).into_bytes());
                }
            }
        }
        Form::Pem | Form::Der => {
            for pem in authority.trusted_tls() {
                let certificate =
                    Certificate::from_pem(std::str::from_utf8(pem).context("a stored certificate is no text")?)?;
                let key = certificate.public_key()?;
                if args
                    .fingerprint
                    .as_ref()
                    .is_none_or(|wanted| *wanted == key.ssh_fingerprint() || *wanted == certificate.pin())
                {
                    parts.push(if form == Form::Der {
                        certificate.der().to_vec()
                    } else {
                        certificate.to_pem().into_bytes()
                    });
                }
            }
        }
        Form::Jwt => parts.extend(authority.spec.active_keys.jwt.iter().map(|pair| pair.public_key.0.clone())),
    }
    Ok(parts)
}

/// A line for `TrustedUserCAKeys` (without its first word) or `known_hosts`.
fn ssh_line(authority: &CertAuthority, key: &PublicKey, compat: Option<&str>) -> String {
    let cluster = &authority.spec.cluster_name;
    let key = key.to_authorized_key();
    let key = key.trim();
    match authority.ca_type() {
        CaType::Host => format!("@cert-authority *.{cluster} {key} clustername={cluster}&type=host\n"),
        _ if compat == Some("1.0") => format!("{key}\n"),
        ca_type => format!("cert-authority {key} clustername={cluster}&type={ca_type}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_written_in_the_form_asked_for_and_chosen_by_its_fingerprint() {
        let key = KeyPair::from_ed25519_seed(&[7; 32]).unwrap();
        let pem = || key.to_pem().unwrap().expose().as_bytes().to_vec();
        let fingerprint = key.public().ssh_fingerprint();
        assert_eq!(private_key(pem(), Form::Pem, None).unwrap(), Some(pem()));
        let der = private_key(pem(), Form::Der, Some(&fingerprint)).unwrap().unwrap();
        assert_eq!(KeyPair::from_pkcs8_der(&der).unwrap().public(), key.public());
        assert_eq!(private_key(pem(), Form::Pem, Some("SHA256:other")).unwrap(), None);
    }

    #[test]
    fn every_type_has_a_source_or_is_refused_by_name() {
        for export in Export::value_variants() {
            match sources(Some(*export), None) {
                Ok(found) => assert_eq!(found.len(), 1, "{export:?}"),
                Err(error) => {
                    assert_eq!(*export, Export::Github);
                    assert_eq!(cli::Exit::of(&error), cli::Exit::Unsupported);
                }
            }
        }
        assert_eq!(sources(None, None).unwrap().len(), 2, "user and host");
        assert_eq!(cli::Exit::of(&sources(Some(Export::User), Some("x")).unwrap_err()), cli::Exit::Usage);
    }

    #[test]
    fn the_lines_that_openssh_reads() {
        let authority = |ca_type| CertAuthority::empty(ca_type, "example.com");
        let key = KeyPair::from_ed25519_seed(&[7; 32]).unwrap().public().clone();
        let plain = key.to_authorized_key().trim().to_owned();
        assert_eq!(
            ssh_line(&authority(CaType::User), &key, None),
            format!("cert-authority {plain} clustername=example.com&type=user\n")
        );
        assert_eq!(
            ssh_line(&authority(CaType::Host), &key, None),
            format!("@cert-authority *.example.com {plain} clustername=example.com&type=host\n")
        );
        assert_eq!(ssh_line(&authority(CaType::User), &key, Some("1.0")), format!("{plain}\n"));
    }
}
