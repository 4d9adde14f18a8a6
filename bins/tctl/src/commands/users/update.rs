//! `tctl users update`: changes a user's roles and traits.

use anyhow::bail;
use cli::Advice;
use domain::resources::{Role, User};

use crate::{
    cluster::{self, Remote},
    commands::traits::words,
    session::Session,
};

/// Flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tctl users update alice --set-roles=access,auditor\n  \
                        tctl users update alice --set-logins=,\n\nA value of \",\" empties a list.")]
pub(crate) struct Args {
    /// Name of the user.
    name: String,
    /// Roles that replace the present ones.
    #[arg(long, value_name = "ROLES")]
    set_roles: Option<String>,
    /// Logins on hosts that replace the present ones.
    #[arg(long, value_name = "LOGINS")]
    set_logins: Option<String>,
    /// Kubernetes groups that replace the present ones.
    #[arg(long, value_name = "GROUPS")]
    set_kubernetes_groups: Option<String>,
    /// Kubernetes users that replace the present ones.
    #[arg(long, value_name = "USERS")]
    set_kubernetes_users: Option<String>,
    /// Database users that replace the present ones.
    #[arg(long, value_name = "USERS")]
    set_db_users: Option<String>,
    /// Database names that replace the present ones.
    #[arg(long, value_name = "NAMES")]
    set_db_names: Option<String>,
    /// Windows logins that replace the present ones.
    #[arg(long, value_name = "LOGINS")]
    set_windows_logins: Option<String>,
    /// AWS role ARNs that replace the present ones.
    #[arg(long, value_name = "ARNS")]
    set_aws_role_arns: Option<String>,
    /// GCP service accounts that replace the present ones.
    #[arg(long, value_name = "ACCOUNTS")]
    set_gcp_service_accounts: Option<String>,
    /// Azure identities that replace the present ones.
    #[arg(long, value_name = "IDENTITIES")]
    set_azure_identities: Option<String>,
    /// UID on hosts that replaces the present one.
    #[arg(long, value_name = "UID")]
    set_host_user_uid: Option<String>,
    /// GID on hosts that replaces the present one.
    #[arg(long, value_name = "GID")]
    set_host_user_gid: Option<String>,
}

impl Args {
    fn traits(&self) -> impl Iterator<Item = (&'static str, &String)> {
        [
            ("logins", &self.set_logins),
            ("kubernetes_groups", &self.set_kubernetes_groups),
            ("kubernetes_users", &self.set_kubernetes_users),
            ("db_users", &self.set_db_users),
            ("db_names", &self.set_db_names),
            ("windows_logins", &self.set_windows_logins),
            ("aws_role_arns", &self.set_aws_role_arns),
            ("gcp_service_accounts", &self.set_gcp_service_accounts),
            ("azure_identities", &self.set_azure_identities),
            ("host_user_uid", &self.set_host_user_uid),
            ("host_user_gid", &self.set_host_user_gid),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }
}

pub(crate) async fn run(args: Args, session: &mut Session) -> anyhow::Result<()> {
    if args.set_roles.is_none() && args.traits().next().is_none() {
        bail!(cli::exit::Usage("nothing to change: use --set-roles or one of the --set-… flags".into()));
    }
    let client = session.client().await?;
    let mut user = User::fetch(&client, &args.name).await?;
    if let Some(roles) = &args.set_roles {
        user.spec.roles = words(roles);
        for role in &user.spec.roles {
            Role::fetch(&client, role).await.advise(|| "see which roles exist: tctl get roles --format=text")?;
        }
    }
    for (name, value) in args.traits() {
        match words(value) {
            values if values.is_empty() => user.spec.traits.remove(name),
            values => user.spec.traits.insert(name.to_owned(), values),
        };
    }
    cluster::check(&mut user)?;
    User::update(&client, user).await?;
    session.out.line(format_args!("User {} has been updated. It is effective with the next certificate.", args.name))
}
