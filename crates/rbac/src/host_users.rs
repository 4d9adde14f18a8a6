//! Users that are made on hosts for a session.

use std::{collections::BTreeSet, sync::Arc};

use domain::resources::role::{CreateHostUserMode, RoleOptions};

use crate::{
    checker::AccessChecker,
    decision::{Place, Reason, Source},
    family::Family,
    principal::Principal,
    question::Tags,
};

/// A user that is made on a host for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostUser {
    /// What becomes of the user afterwards: `keep` or `insecure-drop`.
    pub mode: CreateHostUserMode,
    /// The groups that the user is put into.
    pub groups: BTreeSet<String>,
    /// The lines of sudoers for the user, by role in the order of their names: the last that fits wins in sudo.
    pub sudoers: Vec<String>,
    /// The shell, when a role says so.
    pub shell: Option<String>,
}

/// What a role says about users that are made for a session.
const fn mode(options: &RoleOptions) -> CreateHostUserMode {
    use CreateHostUserMode::{Drop, InsecureDrop, Off, Unspecified};
    match (options.create_host_user_mode, options.create_host_user) {
        (Unspecified, Some(true)) | (Drop, _) => InsecureDrop,
        (Unspecified, _) => Off,
        (mode, _) => mode,
    }
}

impl AccessChecker {
    /// The user to be made on a host with these labels. Every role that reaches the host must have it made; `keep` beats
    /// `insecure-drop`.
    ///
    /// # Errors
    /// Why none is made.
    pub fn host_user(&self, labels: &Tags) -> Result<HostUser, Reason> {
        self.check_labels(Family::Node, labels).into_result()?;
        let mut merged = CreateHostUserMode::InsecureDrop;
        let mut reaching: Vec<_> = self.reaching(Family::Node, labels).collect();
        for held in &reaching {
            match mode(&held.role.role().spec.options) {
                CreateHostUserMode::Off => {
                    let place = Place::Option("create_host_user_mode");
                    return Err(Reason::Denied(Source { role: Arc::clone(&held.role.name), place, because: None }));
                }
                CreateHostUserMode::Keep => merged = CreateHostUserMode::Keep,
                _ => {}
            }
        }
        reaching.sort_by_key(|held| Arc::clone(&held.role.name));
        let shells = reaching.iter().map(|held| &held.role.role().spec.options.create_host_user_default_shell);
        let mut sudoers: Vec<String> = Vec::new();
        for held in &reaching {
            let mut lines: Vec<String> = held.listed(Principal::HostSudoers).map(ToOwned::to_owned).collect();
            lines.retain(|line| !self.is_denied(Principal::HostSudoers, line) && !sudoers.contains(line));
            sudoers.append(&mut lines);
        }
        Ok(HostUser {
            mode: merged,
            shell: shells.into_iter().find(|shell| !shell.is_empty()).cloned(),
            groups: self.granted(Principal::HostGroups, reaching.iter().copied()),
            sudoers,
        })
    }
}
