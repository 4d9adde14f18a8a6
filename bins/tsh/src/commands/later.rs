//! Commands of parts that are not built: known by name, so that a script learns why they fail.

use std::ffi::OsString;

use domain::Error;

/// Whatever follows the name of a command that is not built.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<OsString>,
}

macro_rules! later {
    ($($variant:ident $name:literal,)*) => {
        /// What cannot be done yet.
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum Later {
            $(#[doc = concat!("`tsh ", $name, "` (not supported yet).")]
            #[command(name = $name, hide = true)]
            $variant(Rest),)*
        }

        impl Later {
            fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }
        }
    };
}

later! {
    Aws "aws",
    AwsProfile "aws-profile",
    Az "az",
    Beams "beams",
    Clusters "clusters",
    Config "config",
    Db "db",
    Delegation "delegation",
    Device "device",
    Env "env",
    Gcloud "gcloud",
    Git "git",
    Gsutil "gsutil",
    Headless "headless",
    Join "join",
    Kube "kube",
    Kubectl "kubectl",
    Latency "latency",
    Login "login",
    Logout "logout",
    Ls "ls",
    Mcp "mcp",
    Mfa "mfa",
    Piv "piv",
    Play "play",
    Recordings "recordings",
    Request "request",
    Resolve "resolve",
    Scan "scan",
    Scopes "scopes",
    Scp "scp",
    Sessions "sessions",
    Ssh "ssh",
    Status "status",
    Svid "svid",
    Update "update",
    Vnet "vnet",
    WorkloadIdentity "workload-identity",
}

pub(crate) fn run(command: &Later) -> anyhow::Result<()> {
    Err(Error::unsupported(format!("tsh {} is not supported yet", command.name())).into())
}
