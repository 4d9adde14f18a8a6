//! What a role must fulfil. A role that says something which could never hold, or never be read, is refused when it is
//! made: a deny rule with a typo would deny nothing.

use super::{Role, RoleConditions, RoleOptions, Rule};
use crate::{Error, form::Labels, role::SystemRole};

/// The verbs of rules.
pub const VERBS: &[&str] = &[
    "list",
    "create",
    "read",
    "readnosecrets",
    "update",
    "delete",
    "rotate",
    "use",
    "enroll",
    "create_enroll_token",
    "*",
];

/// The most entries of one list, and the longest entry.
const MAX_ENTRIES: usize = 4096;
const MAX_ENTRY: usize = 8192;

/// The most regular expressions of one role. Each may take a megabyte and some milliseconds to compile, and that happens
/// again for every holder whenever any role changes: a role with thousands would stop the server.
const MAX_EXPRESSIONS: usize = 128;

impl Role {
    pub(super) fn check(&self) -> Result<(), Error> {
        // Whoever holds a role of such a name could be taken for a part of the cluster.
        if SystemRole::ALL.iter().any(|role| role.as_str() == self.metadata.name) {
            return invalid("metadata.name", &format!("{:?} is the name of a system role", self.metadata.name));
        }
        check_options(&self.spec.options)?;
        check_count(&self.spec.allow, &self.spec.deny)?;
        for (path, conditions) in [("spec.allow", &self.spec.allow), ("spec.deny", &self.spec.deny)] {
            check_rules(path, &conditions.rules)?;
            check_labels(path, conditions)?;
            check_lists(path, conditions)?;
            check_expressions(path, conditions)?;
            super::kubernetes::check(path, conditions, self.version_number())?;
            super::policies::check(path, conditions)?;
        }
        super::policies::check_sides(&self.spec.allow, &self.spec.deny)
    }
}

pub(super) fn invalid<T>(path: &str, message: &str) -> Result<T, Error> {
    Err(Error::invalid(format!("{path}: {message}")))
}

pub(super) fn one_of(path: &str, value: &str, words: &[&str]) -> Result<(), Error> {
    if value.is_empty() || words.contains(&value) {
        return Ok(());
    }
    invalid(path, &format!("must be one of {}, found {value:?}", words.join(", ")))
}

fn check_options(options: &RoleOptions) -> Result<(), Error> {
    const RECORDING: &[&str] = &["strict", "best_effort"];
    one_of("spec.options.lock", &options.lock, &["strict", "best_effort"])?;
    one_of("spec.options.cert_format", &options.cert_format, &["standard", "oldssh"])?;
    one_of("spec.options.request_access", &options.request_access, &["optional", "always", "reason"])?;
    one_of(
        "spec.options.device_trust_mode",
        &options.device_trust_mode,
        &["off", "optional", "required", "required-for-humans"],
    )?;
    if let Some(record) = &options.record_session {
        one_of("spec.options.record_session.default", &record.default, RECORDING)?;
        one_of("spec.options.record_session.ssh", &record.ssh, RECORDING)?;
    }
    for event in &options.enhanced_recording {
        one_of("spec.options.enhanced_recording", event, &["command", "disk", "network"])?;
    }
    let counts = [
        ("max_connections", options.max_connections),
        ("max_sessions", options.max_sessions),
        ("max_kubernetes_connections", options.max_kubernetes_connections),
    ];
    for (name, count) in counts {
        if count < 0 {
            return invalid(&format!("spec.options.{name}"), "must not be negative");
        }
    }
    for extension in &options.cert_extensions {
        if extension.name.is_empty() {
            return invalid("spec.options.cert_extensions", "an extension must have a name");
        }
    }
    Ok(())
}

fn check_rules(path: &str, rules: &[Rule]) -> Result<(), Error> {
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("{path}.rules[{index}]");
        if rule.resources.is_empty() || rule.resources.iter().any(String::is_empty) {
            return invalid(&format!("{path}.resources"), "must name at least one kind, or \"*\"");
        }
        if rule.verbs.is_empty() {
            return invalid(&format!("{path}.verbs"), "must name at least one verb, or \"*\"");
        }
        for verb in &rule.verbs {
            if !VERBS.contains(&verb.as_str()) {
                return invalid(
                    &format!("{path}.verbs"),
                    &format!("must be among {}, found {verb:?}", VERBS.join(", ")),
                );
            }
        }
        check_where(&format!("{path}.where"), &rule.condition)?;
    }
    Ok(())
}

pub(super) fn check_where(path: &str, text: &str) -> Result<(), Error> {
    match text {
        "" => Ok(()),
        text => predicate::parse_where(text).map(|_| ()).or_else(|why| invalid(path, &why.to_string())),
    }
}

fn selectors(conditions: &RoleConditions) -> [(&'static str, &Labels); 9] {
    [
        ("node_labels", &conditions.node_labels),
        ("app_labels", &conditions.app_labels),
        ("cluster_labels", &conditions.cluster_labels),
        ("kubernetes_labels", &conditions.kubernetes_labels),
        ("db_labels", &conditions.db_labels),
        ("db_service_labels", &conditions.db_service_labels),
        ("windows_desktop_labels", &conditions.windows_desktop_labels),
        ("group_labels", &conditions.group_labels),
        ("workload_identity_labels", &conditions.workload_identity_labels),
    ]
}

fn check_labels(path: &str, conditions: &RoleConditions) -> Result<(), Error> {
    for (name, labels) in selectors(conditions) {
        for (key, values) in labels.iter() {
            let path = format!("{path}.{name}");
            if key == "*" && values.iter().any(|value| value != "*") {
                return invalid(&path, "the key \"*\" can only have the value \"*\"");
            }
            for value in values {
                check_pattern(&path, value)?;
            }
        }
    }
    Ok(())
}

/// Counts before anything is compiled.
fn check_count(allow: &RoleConditions, deny: &RoleConditions) -> Result<(), Error> {
    let is_expression = |text: &&String| text.starts_with('^') && text.ends_with('$');
    let count: usize = [allow, deny]
        .into_iter()
        .map(|conditions| {
            let labels = selectors(conditions).into_iter().flat_map(|(_, labels)| labels.iter());
            let values = labels.flat_map(|(_, values)| values.iter());
            let listed = lists(conditions).into_iter().flat_map(|(_, _, list)| list);
            let objects = conditions.kubernetes_resources.iter();
            let objects = objects.flat_map(|object| [&object.kind, &object.api_group, &object.namespace, &object.name]);
            let paths = conditions.spiffe.iter().map(|entry| &entry.path);
            values.chain(listed).chain(objects).chain(paths).filter(is_expression).count()
        })
        .sum();
    if count > MAX_EXPRESSIONS {
        return invalid("spec", &format!("has {count} regular expressions, at most {MAX_EXPRESSIONS} are allowed"));
    }
    Ok(())
}

/// A template, or a pattern: whatever is wrong in it would make it match nothing.
pub(super) fn check_pattern(path: &str, value: &str) -> Result<(), Error> {
    if value.contains("{{") {
        return check_template(path, value);
    }
    predicate::Pattern::new(value).map(|_| ()).or_else(|why| invalid(path, &format!("{value:?}: {why}")))
}

pub(super) fn check_template(path: &str, value: &str) -> Result<(), Error> {
    predicate::parse_template(value).map(|_| ()).or_else(|why| invalid(path, &format!("{value:?}: {why}")))
}

/// The lists of names, and whether an entry of each may be a pattern; elsewhere `*` and `^…$` are names like any other.
fn lists(conditions: &RoleConditions) -> Vec<(&'static str, bool, &[String])> {
    let c = conditions;
    let mut lists: Vec<(&'static str, bool, &[String])> = vec![
        ("logins", false, &c.logins),
        ("windows_desktop_logins", false, &c.windows_desktop_logins),
        ("kubernetes_groups", false, &c.kubernetes_groups),
        ("kubernetes_users", false, &c.kubernetes_users),
        ("db_users", true, &c.db_users),
        ("db_names", true, &c.db_names),
        ("db_roles", false, &c.db_roles),
        ("aws_role_arns", false, &c.aws_role_arns),
        ("azure_identities", false, &c.azure_identities),
        ("gcp_service_accounts", false, &c.gcp_service_accounts),
        ("host_groups", false, &c.host_groups),
        ("host_sudoers", false, &c.host_sudoers),
        ("desktop_groups", false, &c.desktop_groups),
    ];
    lists.extend(c.mcp.iter().map(|mcp| ("mcp.tools", true, mcp.tools.as_slice())));
    lists.extend(c.github_permissions.iter().map(|entry| ("github_permissions.orgs", true, entry.orgs.as_slice())));
    lists.extend(c.spiffe.iter().map(|entry| ("spiffe.dns_sans", true, entry.dns_sans.as_slice())));
    lists.extend(c.join_sessions.iter().map(|policy| ("join_sessions.roles", true, policy.roles.as_slice())));
    if let Some(part) = &c.impersonate {
        lists.extend([("impersonate.roles", true, part.roles.as_slice()), ("impersonate.users", true, &part.users)]);
    }
    if let Some(part) = &c.request {
        lists.extend([("request.roles", true, part.roles.as_slice())]);
        lists.push(("request.search_as_roles", true, &part.search_as_roles));
        lists.extend(part.claims_to_roles.iter().map(|map| ("request.claims_to_roles", true, map.roles.as_slice())));
        lists.extend(part.annotations.values().map(|values| ("request.annotations", false, values.as_slice())));
    }
    if let Some(part) = &c.review_requests {
        lists.extend([("review_requests.roles", true, part.roles.as_slice())]);
        lists.push(("review_requests.preview_as_roles", true, &part.preview_as_roles));
        lists.extend(
            part.claims_to_roles.iter().map(|map| ("review_requests.claims_to_roles", true, map.roles.as_slice())),
        );
    }
    lists
}

fn check_lists(path: &str, conditions: &RoleConditions) -> Result<(), Error> {
    for (name, has_patterns, values) in lists(conditions) {
        let path = format!("{path}.{name}");
        if values.len() > MAX_ENTRIES {
            return invalid(&path, &format!("has {} entries, at most {MAX_ENTRIES} are allowed", values.len()));
        }
        for value in values {
            if value.len() > MAX_ENTRY {
                return invalid(&path, &format!("an entry has {} bytes, at most {MAX_ENTRY} are allowed", value.len()));
            }
            if value.chars().any(char::is_control) {
                return invalid(&path, "an entry must not contain control characters");
            }
            if has_patterns {
                check_pattern(&path, value)?;
            } else if value.contains("{{") {
                check_template(&path, value)?;
            }
        }
    }
    Ok(())
}

fn check_expressions(path: &str, conditions: &RoleConditions) -> Result<(), Error> {
    let expressions = [
        ("node_labels_expression", &conditions.node_labels_expression),
        ("app_labels_expression", &conditions.app_labels_expression),
        ("cluster_labels_expression", &conditions.cluster_labels_expression),
        ("kubernetes_labels_expression", &conditions.kubernetes_labels_expression),
        ("db_labels_expression", &conditions.db_labels_expression),
        ("db_service_labels_expression", &conditions.db_service_labels_expression),
        ("windows_desktop_labels_expression", &conditions.windows_desktop_labels_expression),
        ("group_labels_expression", &conditions.group_labels_expression),
        ("workload_identity_labels_expression", &conditions.workload_identity_labels_expression),
    ];
    for (name, text) in expressions {
        if !text.is_empty()
            && let Err(why) = predicate::parse_labels_expression(text)
        {
            return invalid(&format!("{path}.{name}"), &why.to_string());
        }
    }
    Ok(())
}
