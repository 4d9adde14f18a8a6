//! What a value is compared with in labels and principals: itself, a glob, or a regular expression written `^…$`.

use regex::{Regex, RegexBuilder};

use crate::limits::MAX_REGEX_BYTES;

/// A compiled pattern.
///
/// A text is a regular expression only when it is written `^…$`; otherwise `*` stands for any run of characters and
/// everything else for itself. A name with a dot in it thus never matches more than it says.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// `*`: everything.
    Any,
    /// A text without `*`.
    Literal(String),
    /// A text with `*`.
    Glob(String),
    /// A regular expression, anchored at both ends.
    Regex(Regex),
}

/// A text of the form `^…$` that is not a regular expression, or too large a one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is not a regular expression: {reason}")]
pub struct PatternError {
    /// The text.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Compiles a regular expression within the size limit.
pub(crate) fn compile(expression: &str) -> Result<Regex, PatternError> {
    RegexBuilder::new(expression).size_limit(MAX_REGEX_BYTES).dfa_size_limit(MAX_REGEX_BYTES).build().map_err(|error| {
        let reason = match error {
            regex::Error::CompiledTooBig(limit) => format!("it needs more than {limit} bytes when compiled"),
            // The library draws the error over several lines; the last one says what it is.
            other => {
                let text = other.to_string();
                text.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned()
            }
        };
        PatternError { pattern: expression.to_owned(), reason }
    })
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When the text is written `^…$` and is not a regular expression within [`MAX_REGEX_BYTES`].
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        // `^a$|^b$` begins and ends right, yet its anchors bind to the alternatives: the group makes them bind to all.
        if let Some(inner) = text.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')) {
            compile(text)?;
            return compile(&format!("^(?:{inner})$"))
                .or_else(|_| compile(&format!(r"\A(?:{text})\z")))
                .map(Self::Regex);
        }
        Ok(if text.contains('*') { Self::Glob(text.to_owned()) } else { Self::Literal(text.to_owned()) })
    }

    /// Whether the whole value fits.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(literal) => literal == value,
            Self::Glob(glob) => glob_matches(glob, value),
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

/// Compares with a glob: the parts between the stars must follow each other, the first and the last at the ends.
fn glob_matches(glob: &str, value: &str) -> bool {
    let Some((head, rest)) = glob.split_once('*') else { return glob == value };
    let Some(mut value) = value.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').map_or((None, rest), |(middle, tail)| (Some(middle), tail));
    for part in middle.into_iter().flat_map(|middle| middle.split('*')) {
        let Some(at) = value.find(part) else { return false };
        value = value.get(at + part.len()..).unwrap_or_default();
    }
    value.ends_with(tail)
}
