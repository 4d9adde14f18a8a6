//! `tctl lock`: shuts somebody out, at once, wherever they are connected.

use anyhow::{Context, bail};
use cli::{Advice, Format};
use domain::{
    Timestamp,
    error::Kind as ErrorKind,
    form::{duration, time},
    resources::{
        Lock, Role, User,
        lock::{LockSpec, LockTarget},
    },
};

use crate::{
    args::Shape,
    cluster::{self, Instances, Remote},
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl lock --user=alice --message=\"laptop stolen\" --ttl=24h\n  \
                        tctl lock --bot-instance-id=6c4ed8b9-5b0c-4d1f-9b0a-3f1a2f6d8d11\n\n\
                        See all locks with: tctl get locks --format=text; end one with: tctl rm lock/NAME")]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// What the locked one is told.
    #[arg(long, default_value = "")]
    message: String,
    /// How long the lock holds, such as 30m or 8h [default: for ever].
    #[arg(long, value_name = "SPAN", conflicts_with = "expires")]
    ttl: Option<String>,
    /// When the lock ends, RFC 3339.
    #[arg(long)]
    expires: Option<String>,
    #[command(flatten)]
    shape: Shape,
}

/// Whom it hits: whoever matches any of the flags given.
#[derive(Debug, Default, clap::Args)]
#[group(required = true, multiple = true)]
struct Target {
    /// Name of a user; `bot-NAME` for a bot.
    #[arg(long)]
    user: Option<String>,
    /// Name of a role.
    #[arg(long)]
    role: Option<String>,
    /// A login on hosts.
    #[arg(long)]
    login: Option<String>,
    /// UUID of a second factor.
    #[arg(long)]
    mfa_device: Option<String>,
    /// UUID of a trusted device.
    #[arg(long)]
    device: Option<String>,
    /// UUID of a server.
    #[arg(long)]
    server_id: Option<String>,
    /// Name of a Windows desktop.
    #[arg(long)]
    windows_desktop: Option<String>,
    /// UUID of an access request.
    #[arg(long)]
    access_request: Option<String>,
    /// UUID of a bot instance.
    #[arg(long)]
    bot_instance_id: Option<String>,
    /// Name of a join token.
    #[arg(long)]
    join_token: Option<String>,
}

impl From<Target> for LockTarget {
    fn from(target: Target) -> Self {
        Self {
            user: target.user.unwrap_or_default(),
            role: target.role.unwrap_or_default(),
            login: target.login.unwrap_or_default(),
            mfa_device: target.mfa_device.unwrap_or_default(),
            device: target.device.unwrap_or_default(),
            server_id: target.server_id.unwrap_or_default(),
            windows_desktop: target.windows_desktop.unwrap_or_default(),
            access_request: target.access_request.unwrap_or_default(),
            bot_instance_id: target.bot_instance_id.unwrap_or_default(),
            join_token: target.join_token.unwrap_or_default(),
            ..Self::default()
        }
    }
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    let now = session.clock.now();
    let expires = until(args.ttl.as_deref(), args.expires.as_deref(), now)?;
    let target = LockTarget::from(args.target);
    let name = create(session, target.clone(), args.message, expires).await?;
    show(session, &name, args.shape.format).await?;
    warn_of_typos(session, &target).await
}

/// Says when nobody of that name exists now: a lock that hits nobody looks just like one that works.
///
/// After the lock is made, because certificates outlive the user, role or token that they came from.
async fn warn_of_typos(session: &mut Session, target: &LockTarget) -> anyhow::Result<()> {
    let client = session.client().await?;
    let missing = |error: domain::Error| error.kind == ErrorKind::NotFound;
    let mut unknown = Vec::new();
    if !target.user.is_empty() && User::fetch(&client, &target.user).await.is_err_and(missing) {
        unknown.push(("user", target.user.as_str(), "tctl users ls, tctl bots ls"));
    }
    if !target.role.is_empty() && Role::fetch(&client, &target.role).await.is_err_and(missing) {
        unknown.push(("role", &target.role, "tctl get roles --format=text"));
    }
    let id = &target.bot_instance_id;
    if !id.is_empty()
        && cluster::bot_instances(&client, Instances { search: id.clone(), ..Instances::default() })
            .await
            .is_ok_and(|all| all.iter().all(|one| one.spec.instance_id != *id))
    {
        unknown.push(("bot instance", id, "tctl bots instances ls"));
    }
    for (kind, name, command) in unknown {
        cli::warn(format_args!("there is no {kind} \"{name}\" now; see whether the name is right: {command}"));
    }
    Ok(())
}

/// Makes a lock and returns its name.
pub(crate) async fn create(
    session: &mut Session,
    target: LockTarget,
    message: String,
    expires: Option<Timestamp>,
) -> anyhow::Result<String> {
    let name = session.random.uuid().to_string();
    let mut lock = Lock::new(name.clone(), LockSpec { target, message, expires, ..LockSpec::default() });
    lock.metadata.expires = expires;
    let client = session.client().await?;
    cluster::check(&mut lock)?;
    Lock::upsert(&client, lock).await?;
    Ok(name)
}

/// Tells that a lock was made: people its name, programs all of it as the server keeps it.
pub(crate) async fn show(session: &mut Session, name: &str, format: Format) -> anyhow::Result<()> {
    if format == Format::Text {
        return session.out.line(format_args!("Created a lock with name \"{name}\"."));
    }
    let client = session.client().await?;
    let lock = Lock::fetch(&client, name).await.advise(|| format!("the lock is in force; its name is {name}"))?;
    session.out.value(format, &lock)
}

/// The end that `--ttl` or `--expires` asks for.
pub(crate) fn until(ttl: Option<&str>, expires: Option<&str>, now: Timestamp) -> anyhow::Result<Option<Timestamp>> {
    if let Some(text) = ttl {
        let span = duration::parse(text).map_err(domain::Error::invalid).context("--ttl")?;
        if span.is_zero() {
            bail!(domain::Error::invalid("--ttl: must be more than 0; leave it out for a lock that holds for ever"));
        }
        return Ok(Some(now.checked_add(span)?));
    }
    let Some(text) = expires else { return Ok(None) };
    let end = time::parse(text).map_err(domain::Error::invalid).context("--expires")?;
    if end.is_some_and(|end| end <= now) {
        bail!(domain::Error::invalid(format!("--expires: {text} is in the past")));
    }
    Ok(end)
}
