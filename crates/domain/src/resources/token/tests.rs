use serde_json::json;

use super::mask;
use crate::document::read_valid_documents;

fn read(spec: &str) -> Result<serde_json::Value, String> {
    let document =
        format!("{{kind: token, version: v2, metadata: {{name: ci}}, spec: {{roles: [Bot], bot_name: ci, {spec}}}}}");
    let resource = read_valid_documents(&document, "test").map_err(|why| why.summary())?.remove(0);
    let json = serde_json::to_value(&resource).unwrap();
    assert_eq!(read_valid_documents(&json.to_string(), "again").unwrap(), [resource]);
    Ok(json["spec"].clone())
}

#[test]
fn every_method_reads_and_shows_its_block() {
    for block in [
        "join_method: token",
        "join_method: iam, allow: [{aws_account: '1', aws_arn: 'arn:*'}]",
        "join_method: iam, integration: x, allow: [{aws_organization_id: o-1, aws_organizational_units: {include: ['*'], exclude: [ou-1]}}]",
        "join_method: github, github: {enterprise_slug: x, static_jwks: '{}', allow: [{sub: a, repository: a/b, repository_owner: a, workflow: w, environment: e, actor: x, ref: r, ref_type: branch, enterprise: e, enterprise_id: '1'}]}",
        "join_method: circleci, circleci: {organization_id: o, allow: [{project_id: p, context_id: c}]}",
        "join_method: kubernetes, kubernetes: {type: static_jwks, static_jwks: {jwks: '{}'}, allow: [{service_account: 'ns:sa'}]}",
        "join_method: kubernetes, kubernetes: {type: oidc, oidc: {issuer: 'https://x', insecure_allow_http_issuer: false}, allow: [{service_account_name: 'a*', service_account_namespace: b}]}",
        "join_method: azure, azure: {allow: [{subscription: s, resource_groups: [a], tenant: t}]}",
        "join_method: gitlab, gitlab: {domain: gitlab.example.com, static_jwks: '{}', allow: [{project_path: a/b, ref_protected: true, environment_protected: false, user_id: '1', ci_config_sha: x, ci_config_ref_uri: uri, deployment_tier: z, project_visibility: private}]}",
        "join_method: gcp, gcp: {allow: [{project_ids: [p], locations: [l], service_accounts: [s]}]}",
        "join_method: spacelift, spacelift: {hostname: x.app.spacelift.io, enable_glob_matching: true, allow: [{space_id: s, caller_id: c, caller_type: stack, scope: read}]}",
        "join_method: tpm, tpm: {ekcert_allowed_cas: [PEM], allow: [{description: d, ek_certificate_serial: '73:df'}]}",
        "join_method: terraform_cloud, terraform_cloud: {audience: a, hostname: h, allow: [{organization_name: o, workspace_name: w, run_phase: plan}]}",
        "join_method: bitbucket, bitbucket: {audience: a, identity_provider_url: 'https://x', allow: [{workspace_uuid: '{a}', branch_name: main}]}",
        "join_method: oracle, oracle: {allow: [{tenancy: ocid1, parent_compartments: [a], regions: [phx], instances: [i]}]}",
        "join_method: azure_devops, azure_devops: {organization_id: o, allow: [{project_name: p, repository_ref: r}]}",
        "join_method: env0, env0: {allow: [{organization_id: o, project_name: p, env0_tag: t}]}",
        "join_method: bound_keypair, bound_keypair: {onboarding: {registration_secret: s, must_register_before: 2030-01-01T00:00:00Z}, recovery: {limit: 1, mode: standard}, rotate_after: 2031-01-01T00:00:00Z}",
    ] {
        let spec = read(block).unwrap_or_else(|why| panic!("{block}: {why}"));
        let asked: serde_json::Value =
            serde_saphyr::from_str(&format!("{{roles: [Bot], bot_name: ci, {block}}}")).unwrap();
        assert_eq!(spec, asked, "{block}");
    }
    let oidc = read("join_method: generic_oidc, generic_oidc: {issuer: 'https://x', audience: a, must_match_fields: {a: {b: x}}, allow_any: [{conditions: [{attribute: a.b, eq: {value: x}}]}, {expression: 'claims.a == \"b\"'}]}").unwrap();
    assert_eq!(
        oidc["generic_oidc"]["allow_any"][0]["conditions"][0],
        json!({"attribute": "a.b", "eq": {"value": "x"}, "not_eq": null, "in": null, "not_in": null})
    );
    assert_eq!(oidc["generic_oidc"]["must_match_fields"], json!({"a": {"b": "x"}}));
}

#[test]
fn a_rule_that_says_too_little_is_refused() {
    for (block, message) in [
        (
            "join_method: github, github: {allow: [{ref: main}]}",
            "spec.github.allow[0]: must set sub, repository or repository_owner",
        ),
        ("join_method: github, github: {allow: []}", "must have at least one rule"),
        ("join_method: github", "spec.github: must be set"),
        ("join_method: token, github: {allow: [{sub: a}]}", "spec.github: belongs to join_method github"),
        ("join_method: token, allow: [{aws_account: '1'}]", "belongs to the join methods iam and ec2"),
        ("join_method: ec2, allow: [{aws_account: '1'}]", "ec2 cannot join bots"),
        ("join_method: terraform", "must be one of"),
        ("join_method: kubernetes, kubernetes: {allow: [{service_account: sa}]}", "namespace:name"),
        (
            "join_method: kubernetes, kubernetes: {type: oidc, oidc: {issuer: 'http://x'}, allow: [{service_account: 'a:b'}]}",
            "https://",
        ),
        ("join_method: tpm, tpm: {allow: [{ek_certificate_serial: a}]}", "ekcert_allowed_cas"),
        ("join_method: gcp, gcp: {allow: [{locations: [a]}]}", "project_ids"),
        ("join_method: bound_keypair, bound_keypair: {recovery: {limit: 0}}", "at least 1"),
        ("join_method: generic_oidc, generic_oidc: {issuer: 'https://x', audience: a}", "there must be a rule"),
        (
            "join_method: generic_oidc, generic_oidc: {issuer: 'https://x', audience: a, must_match_fields: {a: 9007199254740993}}",
            "2^53",
        ),
        (
            "join_method: generic_oidc, generic_oidc: {issuer: 'https://x', audience: a, must_match_fields: {a: [1]}}",
            "must be strings",
        ),
    ] {
        let shown = read(block).expect_err(block);
        assert!(shown.contains(message), "{block}: {shown}");
    }
    let shown = |spec: &str| {
        read_valid_documents(&format!("{{kind: token, version: v2, metadata: {{name: ci}}, spec: {spec}}}"), "test")
            .expect_err(spec)
            .summary()
    };
    assert!(shown("{roles: [Bot]}").contains("spec.bot_name: must be set"));
    assert!(shown("{roles: [Node], bot_name: a}").contains("must be left out"));
    assert!(shown("{roles: [Admin]}").contains("no token can give"));
    assert!(shown("{roles: []}").contains("at least one role"));
}

#[test]
fn secret_names_are_masked() {
    for (name, shown) in [
        ("", ""),
        ("short", "*****"),
        ("123456789012345", "***************"),
        ("1234567890123456", "************3456"),
        ("12345678901234567", "*************4567"),
    ] {
        assert_eq!(mask(name), shown, "{name}");
    }
}
