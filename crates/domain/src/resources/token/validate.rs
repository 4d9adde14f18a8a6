//! What a join token must fulfil: method and block fit each other, and each rule says enough.

use std::time::Duration;

use super::{JoinMethod, Token, TokenSpec, delegated};
use crate::{Error, names};

/// How long after its making an EC2 identity document is taken, unless the token says something else.
const AWS_IID_TTL: Duration = Duration::from_secs(300);

/// The most instances that a rule for Oracle Cloud may name.
const ORACLE_INSTANCES: usize = 100;

impl Token {
    pub(super) fn fill(&mut self) {
        let spec = &mut self.spec;
        if spec.join_method == JoinMethod::Unspecified {
            spec.join_method = if spec.allow.is_empty() { JoinMethod::Token } else { JoinMethod::Ec2 };
        }
        if spec.join_method == JoinMethod::Ec2 && spec.aws_iid_ttl.is_zero() {
            spec.aws_iid_ttl = AWS_IID_TTL;
        }
        let default = |field: &mut String, value: &str| {
            if field.is_empty() {
                value.clone_into(field);
            }
        };
        if let Some(block) = &mut spec.kubernetes {
            default(&mut block.r#type, "in_cluster");
        }
        if let Some(block) = &mut spec.gitlab {
            default(&mut block.domain, "gitlab.com");
        }
        if let Some(block) = &mut spec.terraform_cloud {
            default(&mut block.hostname, "app.terraform.io");
        }
        if let Some(recovery) = spec.bound_keypair.as_mut().and_then(|block| block.recovery.as_mut()) {
            default(&mut recovery.mode, "standard");
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let spec = &self.spec;
        if spec.roles.is_empty() {
            return invalid("spec.roles", "must name at least one role, for example [Bot]");
        }
        if let Some(role) = spec.roles.iter().find(|role| !role.may_join()) {
            return invalid("spec.roles", &format!("no token can give the role {role}"));
        }
        match (self.is_for_bot(), spec.bot_name.is_empty()) {
            (true, true) => return invalid("spec.bot_name", "must be set for a token with the role Bot"),
            (false, false) => {
                return invalid("spec.bot_name", "must be left out: the token does not have the role Bot");
            }
            _ => {}
        }
        if self.is_for_bot() && spec.join_method == JoinMethod::Ec2 {
            return invalid("spec.join_method", "ec2 cannot join bots, use iam");
        }
        if !spec.bot_name.is_empty() {
            names::of(crate::Kind::Bot).check("spec.bot_name", &spec.bot_name)?;
        }
        check_blocks(spec)?;
        check_method(spec)
    }
}

fn invalid<T>(path: &str, message: &str) -> Result<T, Error> {
    Err(Error::invalid(format!("{path}: {message}")))
}

/// The blocks, each with the method that it belongs to.
fn blocks(spec: &TokenSpec) -> [(JoinMethod, bool); 16] {
    [
        (JoinMethod::Github, spec.github.is_some()),
        (JoinMethod::Circleci, spec.circleci.is_some()),
        (JoinMethod::Kubernetes, spec.kubernetes.is_some()),
        (JoinMethod::Azure, spec.azure.is_some()),
        (JoinMethod::Gitlab, spec.gitlab.is_some()),
        (JoinMethod::Gcp, spec.gcp.is_some()),
        (JoinMethod::Spacelift, spec.spacelift.is_some()),
        (JoinMethod::Tpm, spec.tpm.is_some()),
        (JoinMethod::TerraformCloud, spec.terraform_cloud.is_some()),
        (JoinMethod::Bitbucket, spec.bitbucket.is_some()),
        (JoinMethod::Oracle, spec.oracle.is_some()),
        (JoinMethod::BoundKeypair, spec.bound_keypair.is_some()),
        (JoinMethod::AzureDevops, spec.azure_devops.is_some()),
        (JoinMethod::Env0, spec.env0.is_some()),
        (JoinMethod::GenericOidc, spec.generic_oidc.is_some()),
        (JoinMethod::Unspecified, false),
    ]
}

/// A rule in a block that is not looked at would be a false comfort; a method without its block would let nobody in.
fn check_blocks(spec: &TokenSpec) -> Result<(), Error> {
    let method = spec.join_method;
    for (owner, is_given) in blocks(spec) {
        if is_given && owner != method {
            return invalid(
                &format!("spec.{owner}"),
                &format!("belongs to join_method {owner}, this token has {method}"),
            );
        }
        if owner == method && !is_given && method != JoinMethod::Unspecified {
            return invalid(&format!("spec.{owner}"), &format!("must be set for join_method {owner}"));
        }
    }
    let takes_rules = matches!(method, JoinMethod::Iam | JoinMethod::Ec2);
    match (takes_rules, spec.allow.is_empty()) {
        (true, true) => invalid("spec.allow", &format!("must have at least one rule for join_method {method}")),
        (false, false) => invalid("spec.allow", "belongs to the join methods iam and ec2"),
        _ => Ok(()),
    }
}

/// Checks each rule of a block; there must be one.
fn each<R>(path: &str, rules: &[R], needs: &str, is_enough: impl Fn(&R) -> bool) -> Result<(), Error> {
    if rules.is_empty() {
        return invalid(path, "must have at least one rule");
    }
    match rules.iter().position(|rule| !is_enough(rule)) {
        Some(index) => invalid(&format!("{path}[{index}]"), &format!("must set {needs}")),
        None => Ok(()),
    }
}

fn any(fields: &[&String]) -> bool {
    fields.iter().any(|field| !field.is_empty())
}

fn check_method(spec: &TokenSpec) -> Result<(), Error> {
    check_aws(spec)?;
    check_ci(spec)?;
    check_clouds(spec)?;
    if let Some(block) = &spec.kubernetes {
        check_kubernetes(block)?;
    }
    if let Some(block) = &spec.bound_keypair {
        check_bound_keypair(block)?;
    }
    spec.generic_oidc.as_ref().map_or(Ok(()), check_generic_oidc)
}

fn check_aws(spec: &TokenSpec) -> Result<(), Error> {
    match spec.join_method {
        JoinMethod::Iam => {
            each("spec.allow", &spec.allow, "aws_account, aws_arn or aws_organization_id", |r| {
                any(&[&r.aws_account, &r.aws_arn, &r.aws_organization_id])
            })?;
            each("spec.allow", &spec.allow, "no aws_role and no aws_regions: they belong to ec2", |r| {
                r.aws_role.is_empty() && r.aws_regions.is_empty()
            })?;
            each(
                "spec.allow",
                &spec.allow,
                "aws_organization_id and an include list beside aws_organizational_units",
                |r| {
                    r.aws_organizational_units
                        .as_ref()
                        .is_none_or(|units| !r.aws_organization_id.is_empty() && !units.include.is_empty())
                },
            )
        }
        JoinMethod::Ec2 => {
            each("spec.allow", &spec.allow, "aws_account or aws_role", |r| any(&[&r.aws_account, &r.aws_role]))?;
            each("spec.allow", &spec.allow, "no aws_arn: it belongs to iam", |r| r.aws_arn.is_empty())
        }
        _ => Ok(()),
    }
}

fn check_ci(spec: &TokenSpec) -> Result<(), Error> {
    if let Some(b) = &spec.github {
        if !b.enterprise_server_host.is_empty() && !b.enterprise_slug.is_empty() {
            return invalid("spec.github.enterprise_slug", "cannot be set together with enterprise_server_host");
        }
        if b.enterprise_server_host.contains('/') || b.enterprise_slug.contains('/') {
            return invalid(
                "spec.github",
                "enterprise_server_host and enterprise_slug are names, without scheme or path",
            );
        }
        each("spec.github.allow", &b.allow, "sub, repository or repository_owner", |r| {
            any(&[&r.sub, &r.repository, &r.repository_owner])
        })?;
    }
    if let Some(b) = &spec.gitlab {
        if b.domain.contains('/') {
            return invalid("spec.gitlab.domain", "must be a name without scheme or path");
        }
        each("spec.gitlab.allow", &b.allow, "sub, project_path or namespace_path", |r| {
            any(&[&r.sub, &r.project_path, &r.namespace_path])
        })?;
    }
    if let Some(b) = &spec.circleci {
        required("spec.circleci.organization_id", &b.organization_id)?;
        each("spec.circleci.allow", &b.allow, "project_id or context_id", |r| any(&[&r.project_id, &r.context_id]))?;
    }
    if let Some(b) = &spec.bitbucket {
        required("spec.bitbucket.audience", &b.audience)?;
        required("spec.bitbucket.identity_provider_url", &b.identity_provider_url)?;
        each("spec.bitbucket.allow", &b.allow, "workspace_uuid or repository_uuid", |r| {
            any(&[&r.workspace_uuid, &r.repository_uuid])
        })?;
    }
    if let Some(b) = &spec.azure_devops {
        required("spec.azure_devops.organization_id", &b.organization_id)?;
        each("spec.azure_devops.allow", &b.allow, "sub, project_name or project_id", |r| {
            any(&[&r.sub, &r.project_name, &r.project_id])
        })?;
    }
    if let Some(b) = &spec.spacelift {
        required("spec.spacelift.hostname", &b.hostname)?;
        if b.hostname.contains('/') {
            return invalid("spec.spacelift.hostname", "must be a name without scheme or path");
        }
        each("spec.spacelift.allow", &b.allow, "space_id or caller_id", |r| any(&[&r.space_id, &r.caller_id]))?;
    }
    if let Some(b) = &spec.terraform_cloud {
        let needs = "organization_id or organization_name, and a project or a workspace";
        each("spec.terraform_cloud.allow", &b.allow, needs, |r| {
            any(&[&r.organization_id, &r.organization_name])
                && any(&[&r.project_id, &r.project_name, &r.workspace_id, &r.workspace_name])
        })?;
    }
    if let Some(b) = &spec.env0 {
        let needs = "organization_id, and project_id or project_name";
        each("spec.env0.allow", &b.allow, needs, |r| {
            any(&[&r.organization_id]) && any(&[&r.project_id, &r.project_name])
        })?;
    }
    Ok(())
}

fn check_clouds(spec: &TokenSpec) -> Result<(), Error> {
    if let Some(b) = &spec.azure {
        each("spec.azure.allow", &b.allow, "subscription or tenant", |r| any(&[&r.subscription, &r.tenant]))?;
    }
    if let Some(b) = &spec.gcp {
        each("spec.gcp.allow", &b.allow, "project_ids", |r| !r.project_ids.is_empty())?;
    }
    if let Some(b) = &spec.oracle {
        each("spec.oracle.allow", &b.allow, "tenancy", |r| !r.tenancy.is_empty())?;
        each("spec.oracle.allow", &b.allow, "at most 100 instances", |r| r.instances.len() <= ORACLE_INSTANCES)?;
    }
    if let Some(b) = &spec.tpm {
        let with_cas = !b.ekcert_allowed_cas.is_empty();
        each(
            "spec.tpm.allow",
            &b.allow,
            "ek_public_hash, or ek_certificate_serial together with ekcert_allowed_cas",
            |r| !r.ek_public_hash.is_empty() || (with_cas && !r.ek_certificate_serial.is_empty()),
        )?;
    }
    Ok(())
}

fn required(path: &str, value: &str) -> Result<(), Error> {
    if value.is_empty() { invalid(path, "must be set") } else { Ok(()) }
}

fn check_kubernetes(block: &delegated::Kubernetes) -> Result<(), Error> {
    each("spec.kubernetes.allow", &block.allow, "service_account as namespace:name, or its name and namespace", |r| {
        match r.service_account.split_once(':') {
            Some((namespace, name)) => !namespace.is_empty() && !name.is_empty() && !name.contains(':'),
            None => {
                r.service_account.is_empty()
                    && !r.service_account_name.is_empty()
                    && !r.service_account_namespace.is_empty()
            }
        }
    })?;
    match block.r#type.as_str() {
        "in_cluster" => Ok(()),
        "static_jwks" => {
            required("spec.kubernetes.static_jwks.jwks", block.static_jwks.as_ref().map_or("", |keys| &keys.jwks))
        }
        "oidc" => {
            let oidc = block.oidc.as_ref();
            let issuer = oidc.map_or("", |oidc| oidc.issuer.as_str());
            required("spec.kubernetes.oidc.issuer", issuer)?;
            check_issuer(
                "spec.kubernetes.oidc.issuer",
                issuer,
                oidc.is_some_and(|oidc| oidc.insecure_allow_http_issuer),
            )
        }
        other => invalid("spec.kubernetes.type", &format!("must be in_cluster, static_jwks or oidc, found {other:?}")),
    }
}

fn check_issuer(path: &str, issuer: &str, allows_http: bool) -> Result<(), Error> {
    if issuer.starts_with("https://") || (allows_http && issuer.starts_with("http://")) {
        return Ok(());
    }
    invalid(path, "must begin with https:// (or http:// with insecure_allow_http_issuer)")
}

fn check_bound_keypair(block: &super::BoundKeypair) -> Result<(), Error> {
    if let Some(recovery) = &block.recovery {
        match recovery.mode.as_str() {
            "standard" | "" if recovery.limit == 0 => {
                return invalid(
                    "spec.bound_keypair.recovery.limit",
                    "must be at least 1 in mode standard: the first join counts",
                );
            }
            "standard" | "relaxed" | "insecure" | "" => {}
            other => {
                return invalid(
                    "spec.bound_keypair.recovery.mode",
                    &format!("must be standard, relaxed or insecure, found {other:?}"),
                );
            }
        }
    }
    Ok(())
}

fn check_generic_oidc(block: &delegated::GenericOidc) -> Result<(), Error> {
    let path = "spec.generic_oidc";
    required(&format!("{path}.issuer"), &block.issuer)?;
    check_issuer(&format!("{path}.issuer"), &block.issuer, block.insecure_allow_http_issuer)?;
    required(&format!("{path}.audience"), &block.audience)?;
    if block.must_match_fields.is_empty() && block.allow_any.is_empty() {
        return invalid(&format!("{path}.allow_any"), "there must be a rule, here or in must_match_fields");
    }
    for value in block.must_match_fields.values() {
        check_field(value)?;
    }
    for (index, rule) in block.allow_any.iter().enumerate() {
        let path = format!("{path}.allow_any[{index}]");
        if rule.conditions.is_empty() == rule.expression.is_empty() {
            return invalid(&path, "must have either conditions or an expression");
        }
        for condition in &rule.conditions {
            let operators = [
                condition.eq.is_some(),
                condition.not_eq.is_some(),
                condition.r#in.is_some(),
                condition.not_in.is_some(),
            ];
            if condition.attribute.is_empty() || operators.iter().filter(|is_set| **is_set).count() != 1 {
                return invalid(&path, "a condition must have an attribute and exactly one of eq, not_eq, in, not_in");
            }
        }
    }
    Ok(())
}

/// No lists; no numbers that a double cannot hold exactly.
fn check_field(value: &serde_json::Value) -> Result<(), Error> {
    use serde_json::Value;
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let path = "spec.generic_oidc.must_match_fields";
    match value {
        Value::Object(fields) => fields.values().try_for_each(check_field),
        Value::Array(_) | Value::Null => {
            invalid(path, "values must be strings, numbers, true, false or mappings of them")
        }
        Value::Number(number) if number.as_f64().is_none_or(|number| number.abs() >= EXACT) => {
            invalid(path, "numbers of 2^53 and more cannot be compared exactly")
        }
        _ => Ok(()),
    }
}
