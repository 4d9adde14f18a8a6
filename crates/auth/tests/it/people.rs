//! Callers: the administrator of the machine, and people with roles of the test's making.

use auth::{
    Caller, Presented,
    certificates::user::{UserCertificates, issue},
    roles, users,
};
use domain::resources::{
    Role, User,
    role::{RoleSpec, Rule},
    user::UserSpec,
};

use crate::harness::{Cluster, Machine};

pub(crate) fn role(name: &str, rules: Vec<Rule>) -> Role {
    let mut role = Role::new(name, RoleSpec::default());
    role.spec.allow.rules = rules;
    role
}

pub(crate) fn user(name: &str, roles: &[&str]) -> User {
    User::new(name, UserSpec { roles: roles.iter().map(|role| (*role).to_owned()).collect(), ..UserSpec::default() })
}

impl Cluster {
    pub(crate) fn admin(&self) -> Caller {
        self.auth.authenticate(&Presented::LocalAdmin, "local").unwrap()
    }

    /// A person with one role that has these rules, and the certificate of one who was let in.
    pub(crate) async fn person(&self, name: &str, rules: Vec<Rule>) -> Caller {
        let admin = self.admin();
        let role = roles::create(&self.auth, &admin, role(&format!("of-{name}"), rules)).await.unwrap();
        users::create(&self.auth, &admin, user(name, &[&role.metadata.name])).await.unwrap();
        self.settle().await;
        self.again(name).await
    }

    /// The same person with a new certificate, after the roles changed.
    pub(crate) async fn again(&self, name: &str) -> Caller {
        let request = UserCertificates {
            username: name.to_owned(),
            tls_key: Some(Machine::new().tls.public().clone()),
            ..UserCertificates::default()
        };
        self.caller(&issue(&self.auth, &self.admin(), request).await.unwrap()).unwrap()
    }

    /// The records of one type since the start, as JSON.
    pub(crate) async fn records(&self, event: &str) -> Vec<serde_json::Value> {
        use storage::Backend as _;
        let (mut records, mut after) = (Vec::new(), None);
        loop {
            let page = self.backend.journal_read(after, 1000).await.unwrap();
            after = page.records.last().map(|record| record.position);
            records.extend(page.records);
            if !page.more {
                break;
            }
        }
        let entries =
            records.iter().skip(self.at_start).filter_map(|record| audit::Entry::read(record.entry.value.clone()).ok());
        entries.filter(|entry| entry.event == event).filter_map(|entry| entry.value().ok()).collect()
    }
}
