mod access;
mod kubernetes;
mod locking;
mod made_users;
mod matrix;
mod merging;
mod names;
mod requests;
mod sessions;

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    form::Labels,
    resources::{
        role::{Role, RoleSpec},
        user::Traits,
    },
};

use crate::{AccessChecker, RoleSet};

fn role(name: &str, fill: impl FnOnce(&mut RoleSpec)) -> Role {
    let mut spec = RoleSpec::default();
    fill(&mut spec);
    Role::new(name, spec)
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn traits(pairs: &[(&str, &[&str])]) -> Traits {
    pairs.iter().map(|(key, values)| ((*key).to_owned(), strings(values))).collect()
}

fn selector(pairs: &[(&str, &[&str])]) -> Labels {
    pairs.iter().map(|(key, values)| (*key, strings(values))).collect()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn checker(roles: impl IntoIterator<Item = Role>) -> AccessChecker {
    let traits =
        traits(&[("logins", &["ann", "root"]), ("env", &["dev", "staging"]), ("team", &["red"]), ("odd", &["^("])]);
    AccessChecker::new("ann", &traits, Arc::new(RoleSet::new(roles)))
}
