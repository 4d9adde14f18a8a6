//! Search words of lists: each must be part of the name, of a label or of another shown field.

use domain::Metadata;

/// Whether every keyword is found in the name, the labels or `more`. Letter case is ignored.
pub(crate) fn matches(metadata: &Metadata, more: &[&str], keywords: &[String]) -> bool {
    keywords.iter().all(|keyword| {
        let labels = metadata.labels.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
        labels.chain([metadata.name.as_str()]).chain(more.iter().copied()).any(|field| contains(field, keyword))
    })
}

/// Whether `text` contains `part`, whatever the letter case.
pub(crate) fn contains(text: &str, part: &str) -> bool {
    part.is_empty() || text.to_lowercase().contains(&part.to_lowercase())
}
