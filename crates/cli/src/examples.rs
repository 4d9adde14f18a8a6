//! Every command shows how it is used; the tools' tests ask here which one does not.

use clap::Command;

/// The commands below `tool`, itself included, whose help shows no example: the name of the tool, and then something.
pub fn missing(tool: &Command) -> Vec<String> {
    fn look(command: &Command, path: &str, tool: &str, missing: &mut Vec<String>) {
        if command.is_hide_set() {
            return;
        }
        let path = format!("{path} {}", command.get_name());
        command.get_subcommands().for_each(|sub| look(sub, &path, tool, missing));
        if !command.get_after_help().is_some_and(|help| help.to_string().contains(&format!("{tool} "))) {
            missing.push(path.trim_start().to_owned());
        }
    }
    let mut missing = Vec::new();
    look(tool, "", tool.get_name(), &mut missing);
    missing
}
