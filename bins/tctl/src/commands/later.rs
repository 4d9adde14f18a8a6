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
            $(#[doc = concat!("`tctl ", $name, "` (not supported yet).")]
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
    Acl "acl",
    Alerts "alerts",
    Autoupdate "autoupdate",
    BoundKeypair "bound-keypair",
    Db "db",
    Desktops "desktops",
    Devices "devices",
    Git "git",
    Idp "idp",
    Kube "kube",
    Loadtest "loadtest",
    LoginRule "login_rule",
    Nodes "nodes",
    Notifications "notifications",
    Plugins "plugins",
    Recordings "recordings",
    Request "request",
    Requests "requests",
    Saml "saml",
    Scopes "scopes",
    Sso "sso",
    StableUnixUsers "stable-unix-users",
    Terraform "terraform",
    Top "top",
    WindowsDesktops "windows_desktops",
    WorkloadIdentity "workload-identity",
}

pub(crate) fn run(command: &Later) -> anyhow::Result<()> {
    unsupported(command.name())
}

/// The refusal of a command by its name.
pub(super) fn unsupported(name: &str) -> anyhow::Result<()> {
    Err(Error::unsupported(format!("tctl {name} is not supported yet")).into())
}
