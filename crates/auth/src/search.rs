//! Search words of lists: each must be part of the name, of a label or of another shown field.

use domain::{Error, Metadata};

/// How many words one search may have. A person types a few; with a million of them every resource would be searched a
/// million times, and nobody else be served meanwhile.
const MAX_KEYWORDS: usize = 32;

/// How long one word may be: no name is longer.
const LONGEST: usize = 256;

/// The words of a search, in lower case.
#[derive(Debug, Default)]
pub(crate) struct Keywords(Vec<String>);

impl Keywords {
    /// Reads the words of a request.
    ///
    /// # Errors
    /// Invalid: too many, too long.
    pub(crate) fn parse(words: &[impl AsRef<str>]) -> Result<Self, Error> {
        if words.len() > MAX_KEYWORDS {
            return Err(Error::invalid(format!("search: at most {MAX_KEYWORDS} words, found {}", words.len())));
        }
        if words.iter().any(|word| word.as_ref().len() > LONGEST) {
            return Err(Error::invalid(format!("search: a word is at most {LONGEST} bytes long")));
        }
        Ok(Self(words.iter().map(|word| word.as_ref().to_lowercase()).filter(|word| !word.is_empty()).collect()))
    }

    /// Whether every word is found in the name, the labels or `more`. Letter case is ignored.
    pub(crate) fn match_resource(&self, metadata: &Metadata, more: &[&str]) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let labels = metadata.labels.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
        self.match_fields(labels.chain([metadata.name.as_str()]).chain(more.iter().copied()))
    }

    /// Whether every word is found in one of the fields.
    pub(crate) fn match_fields<'a>(&self, fields: impl Iterator<Item = &'a str>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let fields: Vec<String> = fields.map(str::to_lowercase).collect();
        self.0.iter().all(|word| fields.iter().any(|field| field.contains(word)))
    }
}
