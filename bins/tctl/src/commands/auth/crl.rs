//! `tctl auth crl`: who must not be let in any more, in the form that other programs read.
//!
//! An OpenSSH revocation list is made from the locks that hold now: a locked user by the key id of its certificates,
//! a locked bot instance by the keys that it was last given.

use std::path::PathBuf;

use anyhow::{Context, bail};
use ca::revocation::{KeyRevocationList, SshRevocation};
use clap::ValueEnum;
use client::Client;
use crypto::PublicKey;
use domain::{
    Timestamp,
    ca::CaType,
    resources::{BotInstance, Lock, User},
};

use super::sign::write_file;
use crate::{
    cluster::{self, Remote},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl auth crl --type=user --format=krl --out=/etc/ssh/revoked\n\n\
                        krl: an OpenSSH key revocation list for RevokedKeys in sshd_config; write it again after each lock.")]
pub(crate) struct Args {
    /// Which authority: user, db, db_client, spiffe …
    #[arg(long = "type", default_value = "user")]
    ca: String,
    /// In which form.
    #[arg(long, default_value = "krl")]
    format: ListFormat,
    /// Where to; standard output when left out. An existing file is replaced.
    #[arg(long, short)]
    out: Option<PathBuf>,
}

/// The form of a revocation list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    Krl,
    Crl,
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let ca_type = CaType::parse(&args.ca)
        .with_context(|| domain::Error::invalid(format!("--type: there is no authority \"{}\"", args.ca)))?;
    let client = session.client().await?;
    let list = match (args.format, ca_type) {
        (ListFormat::Krl, CaType::User) => krl(&client, session.clock.now()).await?,
        (ListFormat::Krl, _) => {
            bail!(domain::Error::invalid(
                "an OpenSSH revocation list is made for --type=user: only users' certificates are locked"
            ))
        }
        (ListFormat::Crl, _) => cluster::x509_crl(&client, ca_type).await?,
    };
    match &args.out {
        Some(path) => {
            // sshd must never see half a list: it would let nobody in.
            let mut temporary = path.as_os_str().to_owned();
            temporary.push(".new");
            let temporary = PathBuf::from(temporary);
            write_file(&temporary, &list, 0o644, true)?;
            std::fs::rename(&temporary, path).with_context(|| format!("{} cannot be written", path.display()))?;
            session.out.line(format_args!("The revocation list has been written to {}", path.display()))
        }
        None => session.out.bytes(&list),
    }
}

async fn krl(client: &Client, now: Timestamp) -> anyhow::Result<Vec<u8>> {
    let authority = cluster::authority(client, CaType::User, false).await?;
    let keys: Vec<PublicKey> = authority
        .trusted_ssh()
        .filter_map(|line| PublicKey::from_authorized_key(std::str::from_utf8(line).ok()?.trim()).ok())
        .collect();
    let locks = Lock::list(client, false).await?;
    let locks: Vec<&Lock> = locks.iter().filter(|lock| lock.spec.expires.is_none_or(|end| end > now)).collect();
    let mut revocations = Vec::new();
    for user in locked_users(client, &locks).await? {
        for key in &keys {
            revocations.push(SshRevocation::KeyId { authority: key.clone(), key_id: user.clone() });
        }
    }
    let instances = locks.iter().map(|lock| &lock.spec.target.bot_instance_id).filter(|id| !id.is_empty());
    let instances: Vec<&String> = instances.collect();
    if !instances.is_empty() {
        let known = cluster::bot_instances(client, "").await?;
        let locked = known.iter().filter(|instance| instances.contains(&&instance.spec.instance_id));
        revocations.extend(locked.flat_map(instance_keys).map(SshRevocation::Key));
    }
    let version = u64::try_from(now.as_second()).unwrap_or_default();
    let comment = format!("{} locks of {}", locks.len(), authority.spec.cluster_name);
    Ok(KeyRevocationList { version, generated: now, comment, revocations }.to_bytes()?)
}

/// The users that are locked by name, and those that hold a locked role.
async fn locked_users(client: &Client, locks: &[&Lock]) -> anyhow::Result<Vec<String>> {
    let mut users: Vec<String> =
        locks.iter().map(|lock| lock.spec.target.user.clone()).filter(|user| !user.is_empty()).collect();
    let roles: Vec<&String> = locks.iter().map(|lock| &lock.spec.target.role).filter(|role| !role.is_empty()).collect();
    if !roles.is_empty() {
        for user in User::list(client, false).await? {
            if user.spec.roles.iter().any(|role| roles.contains(&role)) {
                users.push(user.metadata.name);
            }
        }
    }
    users.sort();
    users.dedup();
    Ok(users)
}

fn instance_keys(instance: &BotInstance) -> Vec<PublicKey> {
    let status = &instance.status;
    let records = status.initial_authentication.iter().chain(&status.latest_authentications);
    records.filter_map(|record| public_key(&record.public_key.0)).collect()
}

/// A recorded key: PEM, an authorized_keys line, or DER.
fn public_key(bytes: &[u8]) -> Option<PublicKey> {
    let text = std::str::from_utf8(bytes).ok();
    text.and_then(|text| PublicKey::from_pem(text).or_else(|_| PublicKey::from_authorized_key(text.trim())).ok())
        .or_else(|| PublicKey::from_spki_der(bytes).ok())
}
