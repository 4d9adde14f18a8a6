//! Which `app` resources this agent serves: a selector is AND over its keys, OR over the values of a key.

use std::collections::BTreeMap;

use domain::{Error, form::Labels};
use predicate::Pattern;

/// A compiled selector.
#[derive(Debug, Clone)]
pub(crate) struct Selector(Vec<(String, Vec<Pattern>)>);

/// Whether a selector of a configuration file makes sense.
///
/// # Errors
/// A value that is no pattern.
pub fn check(labels: &Labels) -> Result<(), Error> {
    Selector::compile(labels).map(|_| ())
}

impl Selector {
    pub(crate) fn compile(labels: &Labels) -> Result<Self, Error> {
        let keys = labels.iter().map(|(key, values)| {
            let patterns = values.iter().map(|value| {
                Pattern::new(value)
                    .map_err(|error| Error::invalid(format!("app_service.resources: label {key:?}: {error}")))
            });
            Ok((key.clone(), patterns.collect::<Result<_, Error>>()?))
        });
        keys.collect::<Result<_, Error>>().map(Self)
    }

    /// An empty selector matches nothing: it is a mistake, not a wish for everything.
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let fits = |(key, patterns): &(String, Vec<Pattern>)| {
            if key == "*" {
                return patterns.iter().any(|pattern| matches!(pattern, Pattern::Any));
            }
            labels.get(key).is_some_and(|value| patterns.iter().any(|pattern| pattern.matches(value)))
        };
        !self.0.is_empty() && self.0.iter().all(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_match_as_in_roles() {
        let labels = [("env", "dev"), ("team", "a.b")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        for (selector, expect) in [
            (vec![], false),
            (vec![("*", vec!["*"])], true),
            (vec![("*", vec!["dev"])], false),
            (vec![("env", vec!["dev"])], true),
            (vec![("env", vec!["prod", "d*"])], true),
            (vec![("env", vec!["dev"]), ("team", vec!["axb"])], false),
            (vec![("team", vec!["^a.b$"])], true),
            (vec![("missing", vec!["*"])], false),
        ] {
            let compiled = Selector::compile(&selector.clone().into_iter().collect()).unwrap();
            assert_eq!(compiled.matches(&labels), expect, "{selector:?}");
        }
        assert!(Selector::compile(&[("a", vec!["^($"])].into_iter().collect()).is_err());
    }
}
