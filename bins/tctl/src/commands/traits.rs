//! Flags that change lists: roles, logins and the other traits of users and bots.

use std::{collections::BTreeMap, time::Duration};

use domain::{Error, resources::user::Traits};

/// A duration flag. A token, link or certificate that ends as it begins is a slip.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match domain::form::duration::parse(text)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        span => Ok(span),
    }
}

/// Words of a comma separated flag.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Labels as they are written on a command line, `key=value,…`.
pub(crate) fn labels(text: &str) -> Result<BTreeMap<String, String>, Error> {
    words(text)
        .iter()
        .map(|pair| {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| Error::invalid(format!("write key=value, found \"{pair}\"")))?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

/// A change of a list: `--add-…` or `--set-…`; `,` empties it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Add(Vec<String>),
    Set(Vec<String>),
}

impl Change {
    /// The change that two flags ask for.
    pub(crate) fn of(add: Option<&str>, set: Option<&str>) -> Option<Self> {
        set.map(|text| Change::Set(words(text))).or_else(|| add.map(|text| Change::Add(words(text))))
    }

    /// The values that it brings.
    pub(crate) fn values(&self) -> &[String] {
        match self {
            Change::Add(values) | Change::Set(values) => values,
        }
    }

    /// Changes a list; nothing is added twice.
    pub(crate) fn apply(self, list: &mut Vec<String>) {
        let values = match self {
            Change::Add(values) => values,
            Change::Set(values) => {
                list.clear();
                values
            }
        };
        for value in values {
            if !list.contains(&value) {
                list.push(value);
            }
        }
    }
}

/// The traits that have a flag of their own.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct TraitFlags {
    /// Logins on hosts.
    #[arg(long, value_name = "LOGINS")]
    logins: Option<String>,
    /// Kubernetes groups.
    #[arg(long, value_name = "GROUPS")]
    kubernetes_groups: Option<String>,
    /// Kubernetes users.
    #[arg(long, value_name = "USERS")]
    kubernetes_users: Option<String>,
    /// Database users.
    #[arg(long, value_name = "USERS")]
    db_users: Option<String>,
    /// Database names.
    #[arg(long, value_name = "NAMES")]
    db_names: Option<String>,
    /// Windows logins.
    #[arg(long, value_name = "LOGINS")]
    windows_logins: Option<String>,
    /// AWS role ARNs.
    #[arg(long, value_name = "ARNS")]
    aws_role_arns: Option<String>,
    /// GCP service accounts.
    #[arg(long, value_name = "ACCOUNTS")]
    gcp_service_accounts: Option<String>,
    /// Azure identities.
    #[arg(long, value_name = "IDENTITIES")]
    azure_identities: Option<String>,
    /// UID of the user on hosts.
    #[arg(long, value_name = "UID")]
    host_user_uid: Option<String>,
    /// GID of the user on hosts.
    #[arg(long, value_name = "GID")]
    host_user_gid: Option<String>,
}

impl TraitFlags {
    /// The traits that the flags name.
    pub(crate) fn traits(&self) -> Traits {
        self.list()
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), words(value.as_deref()?))))
            .filter(|(_, values)| !values.is_empty())
            .collect()
    }

    fn list(&self) -> [(&'static str, &Option<String>); 11] {
        [
            ("logins", &self.logins),
            ("kubernetes_groups", &self.kubernetes_groups),
            ("kubernetes_users", &self.kubernetes_users),
            ("db_users", &self.db_users),
            ("db_names", &self.db_names),
            ("windows_logins", &self.windows_logins),
            ("aws_role_arns", &self.aws_role_arns),
            ("gcp_service_accounts", &self.gcp_service_accounts),
            ("azure_identities", &self.azure_identities),
            ("host_user_uid", &self.host_user_uid),
            ("host_user_gid", &self.host_user_gid),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_added_to_replaced_and_emptied() {
        let start = || vec!["a".to_owned()];
        for (add, set, expected) in [
            (Some("b,a"), None, Some(vec!["a", "b"])),
            (None, Some("b"), Some(vec!["b"])),
            (None, Some(","), Some(vec![])),
            (None, None, None),
        ] {
            let changed = Change::of(add, set).map(|change| {
                let mut list = start();
                change.apply(&mut list);
                list
            });
            assert_eq!(changed, expected.map(|list| list.into_iter().map(str::to_owned).collect()), "{add:?} {set:?}");
        }
    }

    #[test]
    fn a_span_of_nothing_is_a_slip() {
        assert_eq!(duration("90m"), Ok(Duration::from_secs(5400)));
        for text in ["0", "0s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn labels_are_pairs() {
        let expected = BTreeMap::from([("a".to_owned(), "b=c".to_owned()), ("d".to_owned(), String::new())]);
        assert_eq!(labels("a=b=c, d=").unwrap(), expected);
        assert!(labels("a").is_err());
    }

    #[test]
    fn flags_become_traits() {
        let flags = TraitFlags { logins: Some("root, admin".into()), db_users: Some(",".into()), ..Default::default() };
        assert_eq!(flags.traits(), Traits::from([("logins".into(), vec!["root".into(), "admin".into()])]));
    }
}
