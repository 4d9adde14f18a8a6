//! Databases beyond whom one may be there: users that are made for a session, and permissions on objects.

use std::collections::BTreeSet;

use domain::resources::role::{CreateDatabaseUserMode, DatabasePermission, RoleOptions};

use crate::{
    checker::{AccessChecker, Findings},
    context::Subject,
    decision::{Place, Reason, Side},
    expand::{LabelMap, Matching, Outcome, Values},
    family::Family,
    principal::Principal,
    question::Tags,
};

/// An object of a database, and a permission on it.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseObject<'a> {
    /// The labels of the object.
    pub labels: &'a Tags,
    /// The permission in SQL's word, in any case: `SELECT`.
    pub permission: &'a str,
}

/// A database user that is made for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUser {
    /// What becomes of the user afterwards.
    pub mode: CreateDatabaseUserMode,
    /// The roles that the user gets.
    pub roles: BTreeSet<String>,
}

/// An entry of `db_permissions`, expanded.
#[derive(Debug)]
pub(crate) struct ObjectPermission {
    permissions: Values,
    labels: LabelMap,
}

impl ObjectPermission {
    pub(crate) fn new(entry: &DatabasePermission, side: Side, subject: &Subject) -> Self {
        Self {
            permissions: Values::of(&entry.permissions, subject, Matching::Folded).on(side),
            labels: LabelMap::of(&entry.r#match, subject),
        }
    }

    fn fits(&self, object: &DatabaseObject<'_>, side: Side) -> Outcome {
        self.permissions.has(object.permission).and(|| {
            // Such an entry cannot be written; one that was stored reaches nothing, and holds back everything.
            if self.labels.is_empty() { Outcome::of(side == Side::Deny) } else { self.labels.holds(object.labels) }
        })
    }
}

impl DatabaseObject<'_> {
    pub(crate) fn findings(&self, entries: &[ObjectPermission], side: Side) -> Findings {
        let entries = entries.iter().enumerate();
        entries.map(|(index, entry)| (Place::Entry(side, "db_permissions", index), entry.fits(self, side))).collect()
    }
}

/// What a role says about users that are made for a session.
pub(crate) const fn mode(options: &RoleOptions) -> CreateDatabaseUserMode {
    use CreateDatabaseUserMode::{Keep, Off, Unspecified};
    match (options.create_db_user_mode, options.create_db_user) {
        (Unspecified, Some(true)) => Keep,
        (Unspecified, _) => Off,
        (mode, _) => mode,
    }
}

impl AccessChecker {
    /// The user to be made at a database with these labels. Any role that reaches it may have the user made; it is kept
    /// when any of them keeps it, since dropping loses what it owns. Its roles are those of the roles that have it made.
    ///
    /// # Errors
    /// Why none is made.
    pub fn database_user(&self, labels: &Tags) -> Result<DatabaseUser, Reason> {
        self.check_labels(Family::Database, labels).into_result()?;
        let making = || {
            let reaching = self.reaching(Family::Database, labels);
            reaching.filter(|held| mode(&held.role.role().spec.options) != CreateDatabaseUserMode::Off)
        };
        let mode = making()
            .map(|held| mode(&held.role.role().spec.options))
            .reduce(|a, b| if a == CreateDatabaseUserMode::Keep { a } else { b });
        let mode = mode.ok_or_else(|| self.none_allowed(&"a user that is made at this db"))?;
        Ok(DatabaseUser { mode, roles: self.granted(Principal::DatabaseRoles, making()) })
    }
}
