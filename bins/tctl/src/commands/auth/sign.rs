//! `tctl auth sign`: a certificate for a user or a host, written to files that other programs read.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::ValueEnum;
use cli::Advice;
use client::IdentityFile;
use crypto::{Algorithm, KeyPair};
use domain::{
    Error,
    ca::CaType,
    error::{Kind, Reason},
    form::duration,
    identity::Identity,
    suite::Suite,
};

use crate::{
    cluster::{self, Issued},
    commands::traits,
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl auth sign --user=alice --out=alice.pem --ttl=8h\n  \
                        tctl auth sign --user=alice --format=tls --out=alice\n  \
                        tctl auth sign --host=grafana.example.com --format=openssh --out=grafana\n\n\
                        file: one identity file. openssh: OUT and OUT-cert.pub. tls: OUT.crt, OUT.key, OUT.cas.")]
pub(crate) struct Args {
    /// For whom.
    #[arg(long, required_unless_present = "host", conflicts_with = "host")]
    user: Option<String>,
    /// Names of a host, separated by commas.
    #[arg(long, value_delimiter = ',')]
    host: Vec<String>,
    /// Where to; the other files are named after it.
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Which files.
    #[arg(long, default_value = "file")]
    format: FileFormat,
    /// How long the certificates hold, such as 30m or 8h; another than the administrator on the auth host gets at most
    /// what the roles allow.
    #[arg(long, value_name = "SPAN", value_parser = traits::duration, default_value = "12h")]
    ttl: Duration,
    /// Replace files that exist.
    #[arg(long)]
    overwrite: bool,
    /// Address of a proxy, for formats that write it.
    #[arg(long)]
    proxy: Option<String>,
    /// Name of a leaf cluster that the certificate leads to.
    #[arg(long)]
    leaf_cluster: Option<String>,
    /// How roles are written into an SSH certificate.
    #[arg(long, default_value = "standard")]
    compat: Compat,
    #[command(flatten)]
    later: LaterFlags,
}

/// What a certificate can lead to once the parts behind it are built.
#[derive(Debug, Default, clap::Args)]
struct LaterFlags {
    /// Kubernetes cluster that the certificate leads to (not supported yet).
    #[arg(long, value_name = "NAME", hide = true)]
    kube_cluster_name: Option<String>,
    /// Application that the certificate leads to (not supported yet).
    #[arg(long, value_name = "NAME", hide = true)]
    app_name: Option<String>,
    /// Database service that the certificate leads to (not supported yet).
    #[arg(long, value_name = "NAME", hide = true)]
    db_service: Option<String>,
    /// User of the database (not supported yet).
    #[arg(long, value_name = "NAME", hide = true)]
    db_user: Option<String>,
    /// Name of the database (not supported yet).
    #[arg(long, value_name = "NAME", hide = true)]
    db_name: Option<String>,
    /// Write an archive to standard output (not supported yet).
    #[arg(long, hide = true)]
    tar: bool,
}

impl LaterFlags {
    /// The first flag that was given.
    fn first(&self) -> Option<&'static str> {
        [
            ("--kube-cluster-name", self.kube_cluster_name.is_some()),
            ("--app-name", self.app_name.is_some()),
            ("--db-service", self.db_service.is_some()),
            ("--db-user", self.db_user.is_some()),
            ("--db-name", self.db_name.is_some()),
            ("--tar", self.tar),
        ]
        .into_iter()
        .find_map(|(flag, is_given)| is_given.then_some(flag))
    }
}

/// Which files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FileFormat {
    File,
    Openssh,
    Tls,
    Kubernetes,
    Db,
    Mongodb,
    Cockroach,
    Redis,
    Snowflake,
    Elasticsearch,
    Cassandra,
    Scylla,
    Oracle,
    Windows,
}

impl FileFormat {
    /// What has to be built before this format can be; nothing for those that are there.
    fn comes_with(self) -> Option<&'static str> {
        match self {
            FileFormat::File | FileFormat::Openssh | FileFormat::Tls => None,
            FileFormat::Kubernetes => Some("Kubernetes access"),
            FileFormat::Windows => Some("desktop access"),
            _ => Some("database access"),
        }
    }
}

/// How an SSH certificate carries what the cluster knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compat {
    Standard,
    Oldssh,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    refuse_later(&args)?;
    match args.user.clone() {
        Some(user) => sign_user(&user, args, session).await,
        None => sign_host(args, session).await,
    }
}

/// Refuses by name what belongs to parts that are not built.
fn refuse_later(args: &Args) -> Result<(), Error> {
    if let Some(part) = args.format.comes_with() {
        let name = args.format.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let there = "until then use --format=file, openssh or tls";
        return Err(Error::unsupported(format!("--format={name} is not supported yet, it comes with {part}; {there}")));
    }
    args.later.first().map_or(Ok(()), |flag| Err(Error::unsupported(format!("{flag} is not supported yet"))))
}

async fn sign_user(user: &str, args: Args, session: &mut Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    if let Some(leaf) = &args.leaf_cluster {
        let own = cluster::ping(&client).await?.cluster_name;
        if *leaf != own {
            let message = format!("--leaf-cluster={leaf}: this is {own}, and leaf clusters are not supported yet");
            bail!(Error::unsupported(message));
        }
    }
    let suite = cluster::suite(&client).await?;
    // One key serves both certificates of an identity file; OpenSSH reads keys of every suite.
    let algorithm = match (args.format, suite) {
        (_, Suite::Legacy) => Algorithm::Rsa2048,
        (FileFormat::Openssh, Suite::BalancedV1 | Suite::HsmV1) => Algorithm::Ed25519,
        _ => Algorithm::EcdsaP256,
    };
    let key = KeyPair::generate(algorithm)?;
    let expires = session.clock.now().checked_add(args.ttl)?;
    let request = cluster::UserCertificates {
        user,
        key: key.public(),
        expires,
        leaf_cluster: args.leaf_cluster.as_deref().unwrap_or_default(),
        old_ssh: args.compat == Compat::Oldssh,
    };
    let issued = match cluster::sign_user(&client, request).await {
        Err(error) if error.kind == Kind::Denied && error.reason != Some(Reason::Locked) => Err(error).advise(|| {
            let permission = format!("signing for \"{user}\" needs the permission to impersonate it");
            let says = client.config().credentials.certificate().map(|own| Identity::from_subject(own.subject()));
            let (Some(Ok(says)), Some(file)) = (says, &session.globals.identity) else { return permission };
            let (who, file) = (says.username, file.display());
            format!(
                "{permission}; this was asked as \"{who}\", by {file} (-i or TELEPORT_IDENTITY_FILE). On the auth host \
                 leave it out, and unset TELEPORT_IDENTITY_FILE: nothing else is needed there"
            )
        })?,
        outcome => outcome?,
    };
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(user));
    let files = match args.format {
        FileFormat::Openssh => openssh(&out, &key, &issued)?,
        FileFormat::Tls => tls(&out, &key, &issued)?,
        _ => {
            let hosts = cluster::authority(&client, CaType::Host, false).await?;
            vec![(out.clone(), identity_file(&key, &issued, &hosts)?.render().expose().as_bytes().to_vec())]
        }
    };
    finish(session, &args, files)
}

async fn sign_host(args: Args, session: &mut Session) -> anyhow::Result<()> {
    if args.format != FileFormat::Openssh {
        bail!(cli::exit::Usage("host certificates come with --format=openssh only".into()));
    }
    let client = session.client().await?;
    let algorithm = match cluster::suite(&client).await? {
        Suite::Legacy => Algorithm::Rsa2048,
        Suite::FipsV1 => Algorithm::EcdsaP256,
        Suite::BalancedV1 | Suite::HsmV1 => Algorithm::Ed25519,
        _ => Algorithm::Ed25519,
    };
    let key = KeyPair::generate(algorithm)?;
    let ssh = cluster::sign_host(&client, &args.host, key.public(), args.ttl).await?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(&args.host[0]));
    let issued = Issued { ssh, tls: String::new(), tls_authorities: Vec::new() };
    let files = openssh(&out, &key, &issued)?;
    finish(session, &args, files)
}

type Files = Vec<(PathBuf, Vec<u8>)>;

fn openssh(out: &Path, key: &KeyPair, issued: &Issued) -> anyhow::Result<Files> {
    let private = key.to_openssh_pem("")?.expose().as_bytes().to_vec();
    let certificate = format!("{}\n", issued.ssh.trim_end()).into_bytes();
    Ok(vec![(out.to_owned(), private), (with_suffix(out, "-cert.pub"), certificate)])
}

fn tls(out: &Path, key: &KeyPair, issued: &Issued) -> anyhow::Result<Files> {
    let private = key.to_pem()?.expose().as_bytes().to_vec();
    Ok(vec![
        (with_suffix(out, ".crt"), issued.tls.clone().into_bytes()),
        (with_suffix(out, ".key"), private),
        (with_suffix(out, ".cas"), issued.tls_authorities.concat().into_bytes()),
    ])
}

/// The identity file of a user: it trusts the host CA, over TLS and over SSH.
pub(crate) fn identity_file(
    key: &KeyPair,
    issued: &Issued,
    hosts: &domain::resources::CertAuthority,
) -> anyhow::Result<IdentityFile> {
    let cluster = &hosts.spec.cluster_name;
    let mut ssh_authorities = Vec::new();
    for line in hosts.trusted_ssh() {
        let line = std::str::from_utf8(line).context("a stored SSH key is no text")?.trim();
        ssh_authorities.push(format!("@cert-authority {cluster},*.{cluster} {line} type=host"));
    }
    Ok(IdentityFile {
        key: key.to_pem()?,
        ssh_certificate: issued.ssh.trim_end().to_owned(),
        tls_certificate: issued.tls.clone(),
        ssh_authorities,
        tls_authorities: issued.tls_authorities.clone(),
    })
}

fn finish(session: &mut Session, args: &Args, files: Files) -> anyhow::Result<()> {
    if !args.overwrite
        && let Some((path, _)) = files.iter().find(|(path, _)| path.exists())
    {
        bail!(Error::already_exists(format!(
            "{} exists already; add --overwrite, or choose another --out",
            path.display()
        )));
    }
    let names: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    for (path, content) in &files {
        write_file(path, content, 0o600, args.overwrite)?;
    }
    session.out.line(format_args!("The credentials have been written to {}", names.join(", ")))?;
    if args.format == FileFormat::Openssh && args.user.is_none() {
        session.out.line("Name them in sshd_config: HostKey and HostCertificate.")?;
    }
    session.out.line(format_args!("They are valid for {}.", duration::format(args.ttl)))
}

/// Writes a file with this mode; an existing one only when asked for.
pub(super) fn write_file(path: &Path, content: &[u8], mode: u32, overwrite: bool) -> anyhow::Result<()> {
    if overwrite && path.exists() {
        fs::remove_file(path).with_context(|| format!("{} cannot be replaced", path.display()))?;
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    file.write_all(content)?;
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn what_is_not_built_is_refused_by_its_name() {
        for (flags, refused) in [
            ("--format=file", None),
            ("--format=tls --ttl=1h", None),
            ("--format=db", Some("--format=db is not supported yet, it comes with database access")),
            ("--format=snowflake", Some("--format=snowflake is not supported yet, it comes with database access")),
            ("--format=kubernetes", Some("it comes with Kubernetes access")),
            ("--format=windows", Some("it comes with desktop access")),
            ("--app-name=grafana", Some("--app-name is not supported yet")),
            ("--tar", Some("--tar is not supported yet")),
        ] {
            let words = ["tctl", "--user=alice"].into_iter().chain(flags.split(' '));
            let outcome = refuse_later(&Line::try_parse_from(words).unwrap().args);
            match (outcome, refused) {
                (Ok(()), None) => {}
                (Err(error), Some(text)) => {
                    assert!(error.message.contains(text), "{flags}: {error}");
                    assert_eq!(error.kind, Kind::Unsupported, "{flags}");
                }
                (outcome, _) => panic!("{flags}: {outcome:?}"),
            }
        }
    }
}
