//! Commands of parts that are not built: known by name, so that a script learns why they fail.

use std::ffi::OsString;

use clap::Args;
use domain::Error;

/// Whatever follows the name of a command that is not built.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<OsString>,
}

/// The refusal of a command by its whole name.
///
/// # Errors
/// Always: unsupported.
pub fn unsupported(command: &str) -> anyhow::Result<()> {
    Err(Error::unsupported(format!("{command} is not supported yet")).into())
}

/// Declares the hidden subcommands `Later` of a tool: `later!("tsh": Db "db", Kube "kube")`. What it declares needs `clap`
/// where it stands.
#[macro_export]
macro_rules! later {
    ($tool:literal: $($variant:ident $name:literal),* $(,)?) => {
        /// What cannot be done yet.
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum Later {
            $(#[doc = concat!("`", $tool, " ", $name, "` (not supported yet).")]
            #[command(name = $name, hide = true)]
            $variant($crate::later::Rest),)*
        }

        impl Later {
            /// Refuses the command by its name.
            pub(crate) fn run(&self) -> anyhow::Result<()> {
                $crate::later::unsupported(match self { $(Self::$variant(_) => concat!($tool, " ", $name),)* })
            }
        }
    };
}
