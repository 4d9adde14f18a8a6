//! What a role means where it says nothing, by version.

use std::time::Duration;

use super::{IdpOptions, IdpSamlOptions, KubernetesResource, RecordSession, Role, RoleConditions, RoleOptions};
use crate::form::Labels;

/// The longest session of a role that says nothing.
pub const MAX_SESSION_TTL: Duration = Duration::from_secs(30 * 3600);

const WILDCARD: &str = "*";

impl Role {
    pub(super) fn fill(&mut self) {
        let version = self.version_number();
        self.spec.options.fill(version);
        if version == 3 {
            self.spec.allow.fill_labels_of_v3();
        }
        fill_kubernetes(&mut self.spec.allow, version);
        for conditions in [&mut self.spec.allow, &mut self.spec.deny] {
            for resource in &mut conditions.kubernetes_resources {
                if resource.verbs.is_empty() && version <= 6 {
                    resource.verbs = vec![WILDCARD.to_owned()];
                }
            }
        }
    }
}

impl RoleOptions {
    fn fill(&mut self, version: u8) {
        if self.max_session_ttl.is_zero() {
            self.max_session_ttl = MAX_SESSION_TTL;
        }
        if self.cert_format.is_empty() {
            "standard".clone_into(&mut self.cert_format);
        }
        if self.enhanced_recording.is_empty() {
            self.enhanced_recording = vec!["command".to_owned(), "network".to_owned()];
        }
        let record = self.record_session.get_or_insert_with(RecordSession::default);
        record.desktop.get_or_insert(true);
        if record.default.is_empty() {
            "best_effort".clone_into(&mut record.default);
        }
        self.desktop_clipboard.get_or_insert(true);
        self.desktop_directory_sharing.get_or_insert(true);
        self.ssh_file_copy.get_or_insert(true);
        self.create_desktop_user.get_or_insert(false);
        self.create_db_user.get_or_insert(false);
        if version <= 7 {
            let idp = self.idp.get_or_insert_with(IdpOptions::default);
            idp.saml.get_or_insert_with(IdpSamlOptions::default).enabled.get_or_insert(true);
        }
    }
}

impl RoleConditions {
    /// v3: whoever has a login reaches all nodes, and everybody all applications, clusters and databases.
    fn fill_labels_of_v3(&mut self) {
        if !self.logins.is_empty() && self.node_labels_expression.is_empty() {
            fill_labels(&mut self.node_labels);
        }
        for (labels, expression) in [
            (&mut self.app_labels, &self.app_labels_expression),
            (&mut self.kubernetes_labels, &self.kubernetes_labels_expression),
            (&mut self.db_labels, &self.db_labels_expression),
        ] {
            if expression.is_empty() {
                fill_labels(labels);
            }
        }
    }

    fn reaches_kubernetes(&self) -> bool {
        !self.kubernetes_labels.is_empty() || !self.kubernetes_labels_expression.is_empty()
    }
}

fn fill_labels(labels: &mut Labels) {
    if labels.is_empty() {
        *labels = Labels::wildcard();
    }
}

/// Up to v5 there was no choice: all pods. v6 allows none. From v7 on: everything, for whoever reaches a cluster.
fn fill_kubernetes(allow: &mut RoleConditions, version: u8) {
    if !allow.kubernetes_resources.is_empty() {
        return;
    }
    let kind = match version {
        0..=5 => "pod",
        6 => return,
        _ if !allow.reaches_kubernetes() => return,
        _ => WILDCARD,
    };
    if version <= 5 && !allow.reaches_kubernetes() {
        return;
    }
    let api_group = if version >= 8 { WILDCARD } else { "" };
    allow.kubernetes_resources = vec![KubernetesResource {
        kind: kind.to_owned(),
        namespace: WILDCARD.to_owned(),
        name: WILDCARD.to_owned(),
        verbs: vec![WILDCARD.to_owned()],
        api_group: api_group.to_owned(),
    }];
}
