//! Shell completion scripts, generated from the command line's own definition.

use clap::Command;
pub use clap_complete::Shell;

/// The completion script of `command` for one shell.
pub fn script(command: &mut Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
