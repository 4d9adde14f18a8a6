//! Where a command writes, and in which shape.

use std::{fmt::Display, io};

use clap::ValueEnum;
use serde::Serialize;

/// The shape of what a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables and sentences for people; not stable.
    #[default]
    Text,
    /// JSON for programs: stable keys, several values as one array.
    Json,
    /// YAML for people and files: stable keys, several documents separated by `---`.
    Yaml,
}

/// Standard output, or a buffer in a test.
pub struct Output {
    writer: Box<dyn io::Write + Send>,
}

impl Output {
    /// The process's standard output.
    pub fn stdout() -> Self {
        Self::to(io::stdout())
    }

    /// Any writer.
    pub fn to(writer: impl io::Write + Send + 'static) -> Self {
        Self { writer: Box::new(writer) }
    }

    /// Writes text and ends the line.
    ///
    /// # Errors
    /// When the reader went away, or the disk is full.
    pub fn line(&mut self, text: impl Display) -> anyhow::Result<()> {
        Ok(writeln!(self.writer, "{text}")?)
    }

    /// Writes text as it is (a table, a document, a PEM block).
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn text(&mut self, text: impl Display) -> anyhow::Result<()> {
        Ok(write!(self.writer, "{text}")?)
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.writer.write_all(bytes)?)
    }

    /// Writes one value: pretty JSON, or YAML also for [`Format::Text`].
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn value(&mut self, format: Format, value: &impl Serialize) -> anyhow::Result<()> {
        match format {
            Format::Json => self.line(serde_json::to_string_pretty(value)?),
            Format::Yaml | Format::Text => {
                let yaml = to_yaml(value)?;
                self.text(yaml)
            }
        }
    }

    /// Writes several values: one JSON array (also for one value, so that `jq '.[0]'` always works), or YAML
    /// documents separated by `---`.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn values<T: Serialize>(&mut self, format: Format, values: &[T]) -> anyhow::Result<()> {
        if format == Format::Json {
            return self.value(format, &values);
        }
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.line("---")?;
            }
            self.value(format, value)?;
        }
        Ok(())
    }
}

/// A value as a YAML document that ends with a line break.
///
/// # Errors
/// When the value cannot be a document (a map with keys that are no scalars).
pub fn to_yaml(value: &impl Serialize) -> anyhow::Result<String> {
    let mut text = serde_saphyr::to_string(value)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
