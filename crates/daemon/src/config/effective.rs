//! Prints what a file means once every default is filled in.

use super::Config;

/// YAML in the order of the documentation.
pub(super) fn render(config: &Config) -> String {
    // The types hold text, numbers and lists only; none of them can fail to be written.
    serde_saphyr::to_string(config).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
}
