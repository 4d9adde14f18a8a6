//! The order of version numbers: `18.2.1`, with or without a `v` before it and a pre-release after it.

/// Major, minor, patch, and whether it is a release: a pre-release is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u64, u64, u64, bool);

impl Version {
    /// Reads a version; what follows a `+` says how it was built and does not count.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('v');
        let (text, _) = text.split_once('+').unwrap_or((text, ""));
        let (numbers, pre_release) = text.split_once('-').unwrap_or((text, ""));
        let mut parts = numbers.split('.').map(|part| part.parse::<u64>().ok());
        let version = Self(parts.next()??, parts.next()??, parts.next()??, pre_release.is_empty());
        parts.next().is_none().then_some(version)
    }
}
