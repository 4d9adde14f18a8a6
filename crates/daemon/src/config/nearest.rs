//! The known word that somebody probably meant.

/// The candidate with the fewest edits from `word`, unless it is too far to be a typo (more than a third of it).
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= candidate.len().max(word.len()).div_ceil(3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in bytes: keys are ASCII, and a wrong guess costs nothing.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word_and_nonsense_does_not() {
        let keys = ["cluster_name", "listen_addr", "enabled"];
        for (word, expected) in [
            ("cluster_nam", Some("cluster_name")),
            ("clustername", Some("cluster_name")),
            ("listen-addr", Some("listen_addr")),
            ("Enabled", Some("enabled")),
            ("enable", Some("enabled")),
            ("colour", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
    }
}
