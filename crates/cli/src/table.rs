//! Tables for people: padded columns, a header, a row of dashes.

use std::fmt;

/// Rows of text under a header.
///
/// Cells are padded to the widest of their column, counted in characters; the last column is not padded, so that
/// no line ends with spaces.
#[derive(Clone, Debug)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these column titles.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        let mut row: Vec<String> = cells.into_iter().map(|cell| one_line(&cell.into())).collect();
        row.resize(self.header.len(), String::new());
        self.rows.push(row);
        self
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn widths(&self) -> Vec<usize> {
        (0..self.header.len())
            .map(|column| {
                self.rows.iter().chain([&self.header]).map(|row| row[column].chars().count()).max().unwrap_or_default()
            })
            .collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            let mut text = String::new();
            for (cell, width) in cells.iter().zip(&widths) {
                text.push_str(&format!("{cell:<width$} "));
            }
            writeln!(f, "{}", text.trim_end())
        };
        line(f, &self.header)?;
        line(f, &widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>())?;
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}

/// A cell is one line, and nothing in it may drive the terminal: names and labels come from other people.
fn one_line(cell: &str) -> String {
    cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Labels as `key=value` pairs, comma separated, in key order.
pub fn labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    labels.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_padded_and_lines_end_clean() {
        let mut table = Table::new(["Bot", "User", "Roles"]);
        table.row(["example", "bot-example", "access,editor"]).row(["ci", "bot-ci", ""]);
        assert_eq!(
            table.to_string(),
            "Bot     User        Roles\n\
             ------- ----------- -------------\n\
             example bot-example access,editor\n\
             ci      bot-ci\n"
        );
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        let mut table = Table::new(["Name"]);
        table.row(["a\u{1b}[2Jb\nc"]);
        assert_eq!(table.to_string(), "Name\n--------\na [2Jb c\n");
    }
}
