//! The expression languages of roles and queries, and templates.

use std::collections::BTreeMap;

use predicate::{Environment, Expression, Pattern, Value};

use crate::text;

/// Something of each type to look at.
struct World {
    labels: BTreeMap<String, String>,
    traits: BTreeMap<String, Vec<String>>,
}

impl Environment for World {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "labels" | "impersonate_role.metadata.labels" | "workload.kubernetes.labels" => Value::Labels(&self.labels),
            "user.spec.traits" | "internal" | "external" => Value::Traits(&self.traits),
            "user.spec.roles" => Value::List(vec!["editor".into(), "access".into()]),
            "user.metadata.name" | "name" | "resource.metadata.name" => Value::text("ann"),
            "workload.unix.uid" => Value::Int(1000),
            _ => Value::Absent,
        }
    }
}

/// `where`, label expressions, queries, rules of workload identities, templates and patterns: parsed, then evaluated.
pub fn predicates(data: &[u8]) {
    let text = text(data);
    let world = World {
        labels: [("env", "prod"), ("team-a", "red"), ("team-b", "blue")].map(|(k, v)| (k.into(), v.into())).into(),
        traits: [("teams", vec!["red".into(), "a".repeat(300)]), ("email", vec!["Ann <ann@example.com>".into()])]
            .map(|(k, v)| (k.into(), v))
            .into(),
    };
    for schema in [
        &predicate::WHERE,
        &predicate::LABELS,
        &predicate::REVIEW,
        &predicate::PARTICIPANT,
        &predicate::QUERY,
        &predicate::ATTRIBUTES,
    ] {
        match Expression::parse(schema, &text) {
            Ok(expression) => {
                assert_eq!(expression.as_str(), text);
                let _ = expression.holds(&world);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    if let Ok(template) = predicate::parse_template(&text) {
        let _ = template.expand(&world);
        if let Some(literal) = template.as_literal() {
            assert_eq!(literal, text);
        }
    }
    if let Ok(pattern) = Pattern::new(&text) {
        let _ = pattern.matches(&"a".repeat(2000));
        let _ = pattern.matches(&text);
    }
}
