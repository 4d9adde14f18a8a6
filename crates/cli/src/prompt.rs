//! Questions to the person at the terminal.

use std::io::{self, BufRead, IsTerminal, Write};

/// Whether somebody can answer: standard input and standard error are both terminals.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a yes/no question on standard error; anything but `y` or `yes` is no.
///
/// # Errors
/// When nobody can answer; the caller's flag for "yes" belongs into its advice.
pub fn confirm(question: &str) -> anyhow::Result<bool> {
    if !is_interactive() {
        anyhow::bail!("{question}: nobody can answer, standard input is no terminal");
    }
    ask(question, &mut io::stdin().lock(), &mut io::stderr())
}

fn ask(question: &str, input: &mut impl BufRead, output: &mut impl Write) -> anyhow::Result<bool> {
    write!(output, "{question} [y/N] ")?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, expected) in [("y\n", true), ("YES\n", true), ("\n", false), ("", false), ("yep\n", false)] {
            let mut shown = Vec::new();
            assert_eq!(ask("Delete?", &mut answer.as_bytes(), &mut shown).unwrap(), expected, "{answer:?}");
            assert_eq!(shown, b"Delete? [y/N] ");
        }
    }
}
