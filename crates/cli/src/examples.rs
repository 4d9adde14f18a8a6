//! Every command shows how it is used; the tools' tests ask here which one does not.

use std::ffi::OsString;

use clap::{Command, Parser};

/// Prose below the options is wrapped here.
const WIDTH: usize = 80;

/// Reads the command line of this process, or ends it with help or an error.
pub fn parse<P: Parser>() -> P {
    read(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Reads a command line; see [`copyable`].
///
/// # Errors
/// Help that was asked for, or what is wrong.
pub fn read<P: Parser>(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<P, clap::Error> {
    let matches = copyable(P::command()).try_get_matches_from(words)?;
    P::from_arg_matches(&matches).map_err(|error| error.format(&mut P::command()))
}

/// The same tool with help whose examples are not broken by a narrow terminal: what is copied must run. The library wraps
/// all of a help text but what stands in its template.
pub fn copyable(command: Command) -> Command {
    let command = command.mut_subcommands(copyable);
    match command.get_after_help().map(ToString::to_string) {
        Some(help) => command.help_template(format!(
            "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{{all-args}}\n\n{}",
            help.lines().map(wrapped).collect::<Vec<_>>().join("\n")
        )),
        None => command,
    }
}

/// A line of prose in lines that fit; an indented one as it is.
fn wrapped(line: &str) -> String {
    if line.starts_with(' ') {
        return line.to_owned();
    }
    let mut lines = vec![String::new()];
    for word in line.split_whitespace() {
        let last =
            lines.last_mut().filter(|last| last.is_empty() || last.chars().count() + word.chars().count() < WIDTH);
        match last {
            Some(last) if last.is_empty() => last.push_str(word),
            Some(last) => last.extend([" ", word]),
            None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// The commands below `tool`, itself included, whose help shows no example, or one that a terminal breaks: the name of the
/// tool, and then something.
pub fn missing(tool: &Command) -> Vec<String> {
    fn look(command: &Command, path: &str, tool: &str, missing: &mut Vec<String>) {
        if command.is_hide_set() {
            return;
        }
        let path = format!("{path} {}", command.get_name());
        command.get_subcommands().for_each(|sub| look(sub, &path, tool, missing));
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let shown = command.clone().term_width(WIDTH).render_long_help().to_string();
        let is_whole = |line: &str| shown.lines().any(|shown| shown == line);
        if !help.contains(&format!("{tool} ")) || !help.lines().filter(|line| line.starts_with(' ')).all(is_whole) {
            missing.push(path.trim_start().to_owned());
        }
    }
    let mut missing = Vec::new();
    look(&copyable(tool.clone()), "", tool.get_name(), &mut missing);
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_breaks_no_example() {
        let example = "  tool do --this=something-that-is-long --that=something-that-is-even-longer --more=of-the-same";
        let help = format!("Examples:\n{example}\n  tool do {{a: b}}\n\n{}", "prose ".repeat(40));
        let tool = Command::new("tool").subcommand(Command::new("do").after_help(help.clone())).after_help(help);
        assert_eq!(missing(&tool), [""; 0]);
        let mut shown = copyable(tool).term_width(WIDTH);
        let sub = shown.find_subcommand_mut("do").unwrap().clone().term_width(WIDTH).render_help().to_string();
        for text in [shown.render_help().to_string(), sub] {
            assert!(text.lines().any(|line| line == example) && text.contains("\n  tool do {a: b}\n"), "{text}");
            let prose = text.lines().filter(|line| line.starts_with("prose"));
            assert!(prose.clone().all(|line| line.len() <= WIDTH) && prose.count() == 4, "{text}");
            assert_eq!(text.matches("Examples:").count(), 1, "{text}");
        }
    }
}
