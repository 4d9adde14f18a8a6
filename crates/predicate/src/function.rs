//! The functions: names, what they take, what they give. What they do is in [`crate::evaluate`].

use crate::value::Type;

/// A function of the expression languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Contains,
    ContainsAny,
    ContainsAll,
    Equals,
    Exists,
    Search,
    HasPrefix,
    Split,
    RegexMatch,
    RegexReplace,
    EmailLocal,
    Upper,
    Lower,
    LabelsMatching,
    Set,
    AllEndWith,
    AllEqual,
    IsSubset,
    NewerThan,
    OlderThan,
    Between,
}

/// What a function takes in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// A string.
    Text,
    /// A string or a list of strings.
    Texts,
    /// Anything that can be compared.
    Scalar,
    /// One entry of labels, traits or attributes.
    Entry,
    /// A string that stands there literally: a glob or `^…$`.
    Pattern,
    /// A string that stands there literally: a regular expression.
    Regex,
    /// A string that stands there literally.
    Literal,
}

impl Parameter {
    pub(crate) const fn accepts(self, kind: Type) -> bool {
        match self {
            Self::Text | Self::Pattern | Self::Regex | Self::Literal => matches!(kind, Type::Text | Type::Any),
            Self::Texts => matches!(kind, Type::Text | Type::List | Type::Any),
            Self::Scalar => !matches!(kind, Type::Labels | Type::Traits),
            Self::Entry => true,
        }
    }

    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Texts => "a string or a list of strings",
            Self::Scalar => "a string, a list, a number or a truth value",
            Self::Entry => "one entry, like labels[\"env\"]",
            Self::Pattern => "a string in quotes (a glob, or a regular expression written ^…$)",
            Self::Regex => "a regular expression in quotes",
            Self::Literal => "a string in quotes",
        }
    }
}

/// What a function gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    Bool,
    List,
    /// A string for a string, a list for a list.
    LikeFirst,
}

impl Function {
    const ALL: [Self; 21] = [
        Self::Contains,
        Self::ContainsAny,
        Self::ContainsAll,
        Self::Equals,
        Self::Exists,
        Self::Search,
        Self::HasPrefix,
        Self::Split,
        Self::RegexMatch,
        Self::RegexReplace,
        Self::EmailLocal,
        Self::Upper,
        Self::Lower,
        Self::LabelsMatching,
        Self::Set,
        Self::AllEndWith,
        Self::AllEqual,
        Self::IsSubset,
        Self::NewerThan,
        Self::OlderThan,
        Self::Between,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Contains => "contains",
            Self::ContainsAny => "contains_any",
            Self::ContainsAll => "contains_all",
            Self::Equals => "equals",
            Self::Exists => "exists",
            Self::Search => "search",
            Self::HasPrefix => "hasPrefix",
            Self::Split => "split",
            Self::RegexMatch => "regexp.match",
            Self::RegexReplace => "regexp.replace",
            Self::EmailLocal => "email.local",
            Self::Upper => "strings.upper",
            Self::Lower => "strings.lower",
            Self::LabelsMatching => "labels_matching",
            Self::Set => "set",
            Self::AllEndWith => "all_end_with",
            Self::AllEqual => "all_equal",
            Self::IsSubset => "is_subset",
            Self::NewerThan => "newer_than",
            Self::OlderThan => "older_than",
            Self::Between => "between",
        }
    }

    /// Finds a function by name. Published texts also write `regex.` for `regexp.`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let name = match name {
            "regex.replace" => "regexp.replace",
            "regex.match" => "regexp.match",
            other => other,
        };
        Self::ALL.into_iter().find(|function| function.name() == name)
    }

    /// What it takes; with `None`, any number of strings that stand there literally, but at least one (`is_subset`: after a
    /// list).
    pub(crate) const fn parameters(self) -> Option<&'static [Parameter]> {
        use Parameter::{Entry, Literal, Pattern, Regex, Scalar, Text, Texts};
        Some(match self {
            Self::Contains | Self::AllEndWith | Self::AllEqual => &[Texts, Text],
            Self::ContainsAny | Self::ContainsAll => &[Texts, Texts],
            Self::Equals => &[Scalar, Scalar],
            Self::Exists => &[Entry],
            Self::HasPrefix | Self::Split | Self::NewerThan | Self::OlderThan => &[Text, Text],
            Self::Between => &[Text, Text, Text],
            Self::RegexMatch => &[Texts, Pattern],
            Self::RegexReplace => &[Texts, Regex, Literal],
            Self::EmailLocal | Self::Upper | Self::Lower => &[Texts],
            Self::LabelsMatching => &[Pattern],
            Self::Search | Self::Set | Self::IsSubset => return None,
        })
    }

    pub(crate) const fn gives(self) -> Gives {
        match self {
            Self::Contains | Self::ContainsAny | Self::ContainsAll | Self::Equals | Self::Exists => Gives::Bool,
            Self::Search | Self::HasPrefix | Self::RegexMatch => Gives::Bool,
            Self::AllEndWith | Self::AllEqual | Self::IsSubset => Gives::Bool,
            Self::NewerThan | Self::OlderThan | Self::Between => Gives::Bool,
            Self::Split | Self::LabelsMatching | Self::Set => Gives::List,
            Self::RegexReplace | Self::EmailLocal | Self::Upper | Self::Lower => Gives::LikeFirst,
        }
    }
}
