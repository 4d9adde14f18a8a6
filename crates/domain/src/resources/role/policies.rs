//! What the parts of `allow` and `deny` must fulfil that are more than lists and labels: impersonation, access requests and
//! reviews, sessions with several people, database objects, SPIFFE ids.

use super::{
    AccessRequestConditions, ClaimMapping, DatabasePermission, RoleConditions, SessionJoinPolicy, SessionRequirePolicy,
    SpiffeCondition,
    validate::{check_pattern, check_where, invalid, one_of},
};
use crate::{Error, form::Cidr};

const SESSION_KINDS: &[&str] = &["ssh", "k8s", "db", "app", "desktop", "*"];
const SESSION_MODES: &[&str] = &["observer", "moderator", "peer", "*"];

pub(super) fn check(path: &str, conditions: &RoleConditions) -> Result<(), Error> {
    if let Some(impersonate) = &conditions.impersonate {
        check_where(&format!("{path}.impersonate.where"), &impersonate.condition)?;
        if !impersonate.users.is_empty() && impersonate.roles.is_empty() {
            return invalid(
                &format!("{path}.impersonate.roles"),
                "must be set beside users: as whom, and with which roles",
            );
        }
    }
    if let Some(request) = &conditions.request {
        check_request(&format!("{path}.request"), request)?;
    }
    if let Some(review) = &conditions.review_requests {
        check_filter(&format!("{path}.review_requests.where"), &review.condition, predicate::parse_review)?;
        check_claims(&format!("{path}.review_requests.claims_to_roles"), &review.claims_to_roles)?;
    }
    for (index, policy) in conditions.require_session_join.iter().enumerate() {
        check_requirement(&format!("{path}.require_session_join[{index}]"), policy)?;
    }
    for (index, policy) in conditions.join_sessions.iter().enumerate() {
        check_join(&format!("{path}.join_sessions[{index}]"), policy)?;
    }
    for (index, permission) in conditions.db_permissions.iter().enumerate() {
        check_permission(&format!("{path}.db_permissions[{index}]"), permission)?;
    }
    for (index, spiffe) in conditions.spiffe.iter().enumerate() {
        check_spiffe(&format!("{path}.spiffe[{index}]"), spiffe)?;
    }
    Ok(())
}

/// What is right on one side only.
pub(super) fn check_sides(allow: &RoleConditions, deny: &RoleConditions) -> Result<(), Error> {
    let named = [
        ("logins", &allow.logins),
        ("aws_role_arns", &allow.aws_role_arns),
        ("azure_identities", &allow.azure_identities),
        ("gcp_service_accounts", &allow.gcp_service_accounts),
        ("db_roles", &allow.db_roles),
    ];
    for (name, list) in named {
        if list.iter().any(|value| value == "*") {
            return invalid(&format!("spec.allow.{name}"), "\"*\" is not allowed here: name each, or use a trait");
        }
    }
    for (index, permission) in allow.db_permissions.iter().enumerate() {
        if permission.permissions.iter().any(|word| word == "*") {
            return invalid(
                &format!("spec.allow.db_permissions[{index}].permissions"),
                "\"*\" is only for deny: name each",
            );
        }
    }
    match &deny.impersonate {
        Some(impersonate) if !impersonate.condition.is_empty() => {
            invalid("spec.deny.impersonate.where", "is only for allow: what is denied is denied in any case")
        }
        _ => Ok(()),
    }
}

fn check_filter(
    path: &str,
    text: &str,
    parse: fn(&str) -> Result<predicate::Expression, predicate::ParseError>,
) -> Result<(), Error> {
    if text.is_empty() {
        return Ok(());
    }
    parse(text).map(|_| ()).or_else(|why| invalid(path, &why.to_string()))
}

fn check_claims(path: &str, claims: &[ClaimMapping]) -> Result<(), Error> {
    for (index, mapping) in claims.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if mapping.claim.is_empty() || mapping.value.is_empty() || mapping.roles.is_empty() {
            return invalid(&path, "must have claim, value and roles");
        }
        check_pattern(&format!("{path}.value"), &mapping.value)?;
    }
    Ok(())
}

fn check_request(path: &str, request: &AccessRequestConditions) -> Result<(), Error> {
    check_claims(&format!("{path}.claims_to_roles"), &request.claims_to_roles)?;
    for (index, threshold) in request.thresholds.iter().enumerate() {
        let path = format!("{path}.thresholds[{index}]");
        if threshold.approve == 0 && threshold.deny == 0 {
            return invalid(&path, "approve or deny must be at least 1");
        }
        check_filter(&format!("{path}.filter"), &threshold.filter, predicate::parse_review)?;
    }
    let mode = request.reason.as_ref().map_or("", |reason| &reason.mode);
    one_of(&format!("{path}.reason.mode"), mode, &["required", "optional"])
}

fn check_words(path: &str, words: &[String], known: &[&str]) -> Result<(), Error> {
    if words.is_empty() {
        return invalid(path, &format!("must name at least one of {}", known.join(", ")));
    }
    words.iter().try_for_each(|word| match word.as_str() {
        "" => invalid(path, "an entry must not be empty"),
        word => one_of(path, word, known),
    })
}

fn check_requirement(path: &str, policy: &SessionRequirePolicy) -> Result<(), Error> {
    check_words(&format!("{path}.kinds"), &policy.kinds, SESSION_KINDS)?;
    check_words(&format!("{path}.modes"), &policy.modes, SESSION_MODES)?;
    check_filter(&format!("{path}.filter"), &policy.filter, predicate::parse_participant)?;
    if policy.count < 0 {
        return invalid(&format!("{path}.count"), "must not be negative");
    }
    one_of(&format!("{path}.on_leave"), &policy.on_leave, &["terminate", "pause"])
}

fn check_join(path: &str, policy: &SessionJoinPolicy) -> Result<(), Error> {
    if policy.roles.is_empty() {
        return invalid(&format!("{path}.roles"), "must name the roles whose sessions may be joined, \"*\" for all");
    }
    check_words(&format!("{path}.kinds"), &policy.kinds, SESSION_KINDS)?;
    check_words(&format!("{path}.modes"), &policy.modes, SESSION_MODES)
}

fn check_permission(path: &str, permission: &DatabasePermission) -> Result<(), Error> {
    if permission.permissions.is_empty() || permission.permissions.iter().any(String::is_empty) {
        return invalid(&format!("{path}.permissions"), "must name at least one permission, such as SELECT");
    }
    let path = format!("{path}.match");
    if permission.r#match.is_empty() {
        return invalid(&path, "must be set, \"*\": \"*\" for all objects");
    }
    for (key, values) in permission.r#match.iter() {
        if key == "*" && values.iter().any(|value| value != "*") {
            return invalid(&path, "the key \"*\" can only have the value \"*\"");
        }
        values.iter().try_for_each(|value| check_pattern(&path, value))?;
    }
    Ok(())
}

fn check_spiffe(path: &str, spiffe: &SpiffeCondition) -> Result<(), Error> {
    let is_expression = spiffe.path.starts_with('^') && spiffe.path.ends_with('$');
    if !spiffe.path.starts_with('/') && !is_expression {
        return invalid(
            &format!("{path}.path"),
            &format!("must begin with / or be a regular expression ^…$, found {:?}", spiffe.path),
        );
    }
    check_pattern(&format!("{path}.path"), &spiffe.path)?;
    for range in &spiffe.ip_sans {
        if Cidr::parse(range).is_none() {
            return invalid(&format!("{path}.ip_sans"), &format!("must be ranges such as 10.0.0.0/8, found {range:?}"));
        }
    }
    Ok(())
}
