//! Users that are made for a session, and what they may do in a database.

use domain::resources::role::{CreateDatabaseUserMode, CreateHostUserMode, DatabasePermission};

use super::*;
use crate::{DatabaseObject, Question, Tags};

fn permission(words: &[&str], on: &[(&str, &[&str])]) -> DatabasePermission {
    DatabasePermission { permissions: strings(words), r#match: selector(on) }
}

#[test]
fn permissions_on_objects_are_what_is_allowed_without_what_is_denied() {
    let checker = checker([
        role("dev", |spec| {
            spec.allow.db_labels = selector(&[("env", &["dev"])]);
            spec.allow.db_permissions = vec![
                permission(&["SELECT"], &[("*", &["*"])]),
                permission(&["insert", "UPDATE"], &[("schema", &["public", "app-*"]), ("kind", &["table"])]),
            ];
        }),
        role("no", |spec| {
            spec.deny.db_permissions = vec![
                permission(&["*"], &[("schema", &["secret"])]),
                permission(&["update"], &[("name", &["{{external.team}}"])]),
            ];
        }),
    ]);
    let dev = labels(&[("env", "dev")]);
    let ask = |database: &Tags, object: &[(&str, &str)], permission: &str| {
        checker
            .check(&Question::DatabaseObject(database, DatabaseObject { labels: &labels(object), permission }))
            .allowed
    };
    let table = &[("schema", "app-1"), ("kind", "table")];
    assert!(ask(&dev, &[], "select") && ask(&dev, table, "INSERT") && ask(&dev, table, "Update"));
    assert!(!ask(&dev, &[("schema", "app-1")], "INSERT"), "every label must fit");
    assert!(!ask(&dev, table, "DELETE"));
    assert!(!ask(&labels(&[("env", "prod")]), &[], "SELECT"), "the role does not reach the database");
    assert!(!ask(&dev, &[("schema", "secret")], "SELECT"));
    assert!(!ask(&dev, &[("schema", "app-1"), ("kind", "table"), ("name", "red")], "UPDATE"));
    assert!(ask(&dev, &[("schema", "app-1"), ("kind", "table"), ("name", "blue")], "UPDATE"));
}

#[test]
fn a_selector_without_labels_gives_nothing_and_takes_everything() {
    let of = |allow: &[(&str, &[&str])], deny: Option<&[(&str, &[&str])]>| {
        let checker = checker([role("r", |spec| {
            spec.allow.db_labels = Labels::wildcard();
            spec.allow.db_permissions = vec![permission(&["SELECT"], allow)];
            spec.deny.db_permissions = deny.iter().map(|on| permission(&["SELECT"], on)).collect();
        })]);
        let object = DatabaseObject { labels: &labels(&[]), permission: "SELECT" };
        checker.check(&Question::DatabaseObject(&labels(&[]), object)).allowed
    };
    assert!(of(&[("*", &["*"])], None));
    assert!(!of(&[], None) && !of(&[("*", &["*"])], Some(&[])));
}

#[test]
fn a_database_user_is_made_when_any_role_that_reaches_the_database_has_it_made() {
    use CreateDatabaseUserMode::{BestEffortDrop, Keep, Off, Unspecified};
    let one = |name: &str, env: &str, mode, old: Option<bool>| {
        role(name, |spec| {
            spec.allow.db_labels = selector(&[("env", &[env])]);
            spec.allow.db_roles = strings(&[name, "owner"]);
            spec.options.create_db_user_mode = mode;
            spec.options.create_db_user = old;
        })
    };
    let dev = labels(&[("env", "dev")]);
    let made = |roles: Vec<Role>| {
        let user = checker(roles).database_user(&dev).ok()?;
        Some((user.mode, user.roles.into_iter().collect::<Vec<_>>().join(",")))
    };
    let found = |mode, roles: &str| Some((mode, roles.to_owned()));
    assert_eq!(made(vec![one("a", "dev", Off, None)]), None);
    assert_eq!(made(vec![one("a", "dev", Unspecified, Some(false))]), None);
    assert_eq!(made(vec![one("a", "dev", Unspecified, Some(true))]), found(Keep, "a,owner"));
    assert_eq!(made(vec![one("a", "prod", Keep, None)]), None, "the role does not reach it");
    let both = |a, b| vec![one("a", "dev", a, None), one("b", "dev", b, None)];
    assert_eq!(made(both(Off, BestEffortDrop)), found(BestEffortDrop, "b,owner"));
    assert_eq!(made(both(Keep, BestEffortDrop)), found(Keep, "a,b,owner"));
    assert_eq!(made(both(BestEffortDrop, Keep)), found(Keep, "a,b,owner"));
    let without = role("no", |spec| spec.deny.db_roles = strings(&["owner"]));
    assert_eq!(made(vec![one("a", "dev", Keep, None), without]), found(Keep, "a"));
    let refused = checker([one("a", "dev", Off, None)]).database_user(&dev).unwrap_err();
    assert_eq!(refused.to_string(), "a user that is made at this db is not allowed by any of the roles a");
}

#[test]
fn a_host_user_is_made_when_every_role_that_reaches_the_host_has_it_made() {
    use CreateHostUserMode::{Drop, InsecureDrop, Keep, Off, Unspecified};
    let one = |name: &str, env: &str, mode, old: Option<bool>| {
        role(name, |spec| {
            spec.allow.node_labels = selector(&[("env", &[env])]);
            spec.allow.host_groups = strings(&[name, "docker"]);
            spec.allow.host_sudoers = strings(&[&format!("line of {name}"), "ALL"]);
            spec.options.create_host_user_mode = mode;
            spec.options.create_host_user = old;
            spec.options.create_host_user_default_shell = format!("/bin/{name}");
        })
    };
    let dev = labels(&[("env", "dev")]);
    let mode = |roles: Vec<Role>| checker(roles).host_user(&dev).map(|user| user.mode).map_err(|why| why.to_string());
    assert_eq!(mode(vec![one("a", "dev", Keep, None)]), Ok(Keep));
    assert_eq!(mode(vec![one("a", "dev", Drop, None)]), Ok(InsecureDrop));
    assert_eq!(mode(vec![one("a", "dev", Unspecified, Some(true))]), Ok(InsecureDrop));
    assert!(mode(vec![one("a", "prod", Keep, None)]).is_err());
    let both = |a, b| vec![one("a", "dev", a, None), one("b", "dev", b, None)];
    assert_eq!(mode(both(Keep, InsecureDrop)), Ok(Keep));
    for silent in [Off, Unspecified] {
        let refused = mode(both(Keep, silent)).unwrap_err();
        assert_eq!(refused, r#"denied by role "b", spec.options.create_host_user_mode"#);
    }
    assert_eq!(mode(vec![one("a", "dev", Keep, None), one("b", "prod", Off, None)]), Ok(Keep));

    let no = role("no", |spec| {
        spec.deny.host_groups = strings(&["docker"]);
        spec.deny.host_sudoers = strings(&["ALL"]);
    });
    let user = checker([one("b", "dev", Keep, None), one("a", "dev", Keep, None), no]).host_user(&dev).unwrap();
    assert_eq!(user.groups.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(user.sudoers, ["line of a", "line of b"]);
    assert_eq!(user.shell.as_deref(), Some("/bin/a"));
    let none = role("no", |spec| spec.deny.host_sudoers = strings(&["*"]));
    assert!(checker([one("a", "dev", Keep, None), none]).host_user(&dev).unwrap().sudoers.is_empty());
}
