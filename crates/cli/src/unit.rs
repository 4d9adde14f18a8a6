//! Values in a unit of systemd.

use domain::Error;

/// A value as it may stand in a unit: `%` begins a specifier there. One with a line break could add directives, and one with
/// spaces, quotes or backslashes would be read as something else.
///
/// # Errors
/// Invalid.
pub fn value(text: impl ToString) -> Result<String, Error> {
    let text = text.to_string();
    let is_bad = |letter: char| letter.is_control() || letter.is_whitespace() || matches!(letter, '"' | '\'' | '\\');
    if text.is_empty() || text.chars().any(is_bad) {
        return Err(Error::invalid(format!(
            "{text:?} cannot stand in a unit: no spaces, quotes, backslashes or control characters"
        )));
    }
    Ok(text.replace('%', "%%"))
}

/// The same behind the program of a command line, where `$` begins a variable.
///
/// # Errors
/// Invalid.
pub fn argument(text: impl ToString) -> Result<String, Error> {
    Ok(value(text)?.replace('$', "$$"))
}
