use super::*;

fn fault(text: &str) -> String {
    read_valid_documents(text, "ci.yaml").expect_err("must be refused").to_string()
}

#[test]
fn a_fault_is_shown_where_it_is_written() {
    let text =
        "kind: role\nversion: v7\nmetadata:\n  name: ci\nspec:\n  allow:\n    app_labels:\n      environment: 3\n";
    assert_eq!(
        fault(text),
        "role \"ci\": spec.allow.app_labels.environment: must be a string or a list of strings, found a number\n  \
         --> ci.yaml:8:20\n   |\n 8 |       environment: 3\n   |                    ^ write \"3\""
    );
}

#[test]
fn what_the_reference_prints_and_nobody_needs_is_read_over() {
    let text = "kind: user\nversion: v2\nmetadata: {name: alice, id: 1712}\nspec:\n  traits: {logins: null, team: [a]}\n  \
                status: {is_locked: false, recovery_attempt_lock_expires: '0001-01-01T00:00:00Z'}\n";
    let read = read_valid_documents(text, "x").expect("good");
    let AnyResource::User(user) = &read[0] else { panic!("a user") };
    assert_eq!(user.spec.traits["logins"], Vec::<String>::new());
    assert_eq!(user.spec.traits["team"], ["a"]);
    assert!(fault("kind: user\nversion: v2\nmetadata: {name: a}\nspec: {id: 3}\n").contains("no such key"));
}

#[test]
fn all_faults_of_a_text_are_found_at_once_and_each_document_knows_its_line() {
    let good = "kind: bot\nversion: v1\nmetadata: {name: a}\nspec: {}\n";
    let found = read_located_documents(&format!("{good}---\n{good}"), "x").expect("good");
    assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 6]);
    let bad = format!("kind: node\nversion: v2\n---\n{good}---\nkind: db\nversion: v3\n---\nkind: rol\n");
    let faults = read_located_documents(&bad, "x").expect_err("bad");
    assert_eq!(faults.iter().map(|fault| fault.is_unsupported).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn a_typo_names_the_nearest_key() {
    let cases = [
        (
            "kind: role\nversion: v7\nmetadata: {name: ci}\nspec: {alow: {}}\n",
            "spec.alow: there is no such key",
            "ci.yaml:4:8",
            "did you mean \"allow\"?",
        ),
        (
            "kind: bot\nversion: v1\nmetadata:\n  nmae: x\n",
            "metadata.nmae: there is no such key",
            "ci.yaml:4:3",
            "did you mean \"name\"?",
        ),
        ("kind: rol\nversion: v7\n", "kind: there is no kind \"rol\"", "ci.yaml:1:7", "did you mean \"role\"?"),
        ("kind: role\nversion: v9\n", "version: must be one of v3, v4", "ci.yaml:2:10", ""),
        ("kind: role\n", "the key \"version\" is missing", "ci.yaml:1:1", "write \"version: v7\""),
        ("version: v7\n", "the key \"kind\" is missing", "ci.yaml:1:1", "kind: role"),
        ("kind: node\nversion: v2\n", "resources of kind node are not supported yet", "ci.yaml:1:7", ""),
        (
            "kind: role\nversion: v7\nmetadata: {name: a/b}\nspec: {}\n",
            "the role name must not contain '/'",
            "ci.yaml",
            "",
        ),
        (
            "kind: role\nversion: v7\nmetadata: {name: ci}\nspec:\n  options: {max_session_ttl: 3600}\n",
            "must be a duration like",
            "ci.yaml:5:30",
            "",
        ),
        (
            "kind: role\nversion: v7\nmetadata: {name: ci}\nspec:\n  options: {max_session_ttl: -1h}\n",
            "must not be negative",
            "ci.yaml:5:30",
            "",
        ),
        ("kind: role\nkind: bot\n", "the key \"kind\" is there twice, first in line 1: keep one", "ci.yaml:2:1", ""),
        ("kind: role\nversion: v7\nmetadata: [a]\n", "metadata: must be a mapping, found a list", "ci.yaml:3:11", ""),
        ("- 3\n", "a document must be a mapping", "ci.yaml:1:3", ""),
        (
            "kind: bot\r\nversion: v1\r\nmetadata: {name: a}\r\nspec: {}\r\n---\r\nkind: bot\r\nversion: v1\r\nspec: {rolse: []}\r\n",
            "spec.rolse: there is no such key",
            "ci.yaml:8:8",
            "did you mean \"roles\"?",
        ),
        ("kind: bot\nversion: v1\nmetadata: {name: \"a\u{7}b\"}\n", "", "ci.yaml", ""),
        ("", "there is no document in it", "ci.yaml", ""),
        ("a: [", "", "ci.yaml", ""),
    ];
    for (text, message, place, help) in cases {
        let shown = fault(text);
        for part in [message, place, help] {
            assert!(shown.to_lowercase().contains(&part.to_lowercase()), "{text:?}\nshows\n{shown}\nwithout {part:?}");
        }
    }
}

#[test]
fn a_key_that_is_there_twice_is_named_with_both_lines() {
    let head = "kind: role\nversion: v7\nmetadata: {name: ci}\nspec:\n";
    for (text, message, place) in [
        (
            "  allow:\n    logins: [a]\n  deny:\n    logins: [b]\n  allow: {}\n",
            "\"allow\" is there twice, first in line 5",
            "9:3",
        ),
        (
            "  allow:\n    rules:\n      - verbs: [a]\n        resources: [x]\n      - verbs: [a]\n        resources: [y]\n        verbs: [b]\n",
            "\"verbs\" is there twice, first in line 9",
            "11:9",
        ),
        ("  allow: {logins: [a], logins: [b]}\n", "\"logins\" is there twice: keep one", "5:24"),
        ("  \"allow\" : {}\n  allow: {}\n", "\"allow\" is there twice, first in line 5", "6:3"),
    ] {
        let shown = fault(&format!("{head}{text}"));
        for part in [message, &format!("ci.yaml:{place}")] {
            assert!(shown.contains(part), "{text}\nshows\n{shown}\nwithout {part:?}");
        }
    }
}

#[test]
fn a_missing_spec_empties_the_resource() {
    for kind in Kind::ALL {
        for (spec, message) in [("", "spec is missing"), ("spec:\n", "spec has nothing in it")] {
            let version = ["v7", "v2", "v1", "v3"].into_iter().find(|version| {
                let text = format!("kind: {kind}\nversion: {version}\nmetadata: {{name: a}}\nspec: {{}}\n");
                read_documents(&text, "ci.yaml").is_ok()
            });
            let Some(version) = version else {
                let shown = fault(&format!("kind: {kind}\nversion: v1\nmetadata: {{name: a}}\nspec: {{}}\n"));
                assert!(shown.contains("not supported yet"), "{kind}: {shown}");
                continue;
            };
            let shown = fault(&format!("kind: {kind}\nversion: {version}\nmetadata: {{name: a}}\n{spec}"));
            assert!(shown.contains(message), "{kind}: {shown}");
            assert!(shown.contains(if spec.is_empty() { "ci.yaml:1:1" } else { "ci.yaml:4:1" }), "{kind}: {shown}");
            assert!(shown.contains("write \"spec: {}\""), "{kind}: {shown}");
        }
    }
}

#[test]
fn several_documents_and_lists_and_json_are_read() {
    let yaml = "kind: bot\nversion: v1\nmetadata: {name: a}\nspec: {}\n---\n---\nkind: user\nversion: v2\nmetadata: {name: b}\nspec: {}\n";
    let kinds = |text| read_documents(text, "-").unwrap().iter().map(AnyResource::kind).collect::<Vec<_>>();
    assert_eq!(kinds(yaml), [Kind::Bot, Kind::User]);
    let json = r#"[{"kind": "bot", "version": "v1", "metadata": {"name": "\ud83d\ude00"}, "spec": {}}, {"kind":"user","version":"v2","metadata":{"name":"b","namespace":"default"},"spec":{}}]"#;
    assert_eq!(kinds(json), [Kind::Bot, Kind::User]);
}

#[test]
fn bombs_are_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let alias = format!("*a{}", level - 1);
        laughs += &format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", "));
    }
    let deep = format!("kind: {}x{}", "[".repeat(10_000), "]".repeat(10_000));
    let huge = format!("kind: {}", "x".repeat(MAX_BYTES));
    // Each level needs stack, and a test has as little of it as a thread of the runtime.
    let steps: String = (0..200).map(|level| "  ".repeat(level) + "a:\n").collect();
    for (bomb, message) in [(laughs, ""), (deep, ""), (steps, ""), (huge, "at most 4194304 are read")] {
        let shown = read_documents(&bomb, "bomb").expect_err("must be refused").to_string();
        assert!(shown.contains(message), "{shown}");
        assert!(shown.len() < 2_000, "{}", shown.len());
    }
}

#[test]
fn the_name_of_a_token_is_not_shown() {
    let shown = fault("kind: token\nversion: v2\nmetadata:\n  name: secret-value\nspec:\n  role: [Bot]\n");
    assert!(!shown.contains("secret-value"), "{shown}");
}

#[test]
fn what_a_newer_version_wrote_is_kept() {
    use crate::{Stored, resources::Role};
    let stored = r#"{"kind":"role","version":"v7","metadata":{"name":"ci","owner":"x"},"spec":{"allow":{"rules":[{"resources":["user"],"verbs":["list"],"weight":3}],"new":{"deep":[1]}},"later":{"a":1}},"schema":1,"top":true}"#;
    let mut role = Stored::<Role>::decode(stored.as_bytes()).unwrap();
    role.value.metadata.description = "changed".into();
    let json: serde_json::Value = serde_json::from_slice(&role.encode().unwrap()).unwrap();
    assert_eq!(json["metadata"]["owner"], "x");
    assert_eq!(json["metadata"]["description"], "changed");
    assert_eq!(json["spec"]["allow"]["rules"][0]["weight"], 3);
    assert_eq!(json["spec"]["allow"]["new"]["deep"][0], 1);
    assert_eq!(json["spec"]["later"]["a"], 1);
    assert_eq!(json["top"], true);
    assert_eq!(json["schema"], 1);
    role.value.spec.allow.rules.clear();
    let json: serde_json::Value = serde_json::from_slice(&role.encode().unwrap()).unwrap();
    assert!(json["spec"]["allow"].get("rules").is_none());
    assert!(Stored::<Role>::decode(stored.replace("\"schema\":1", "\"schema\":2").as_bytes()).is_err());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

    #[test]
    fn random_text_never_panics(text in "\\PC{0,200}") {
        let _ = read_valid_documents(&text, "random").map_err(|why| why.to_string());
    }

    #[test]
    fn random_yaml_never_panics(text in "((kind|version|metadata|spec|allow|role|v7|name|rules|token|bot|&a|\\*a|<<|\"|'|true|3|~|: |:\n|\n|  |- |\\[|\\]|\\{|\\}|,|#|---\n)){0,40}") {
        let head = format!("kind: role\nversion: v7\n{text}");
        for text in [text.as_str(), head.as_str()] {
            let _ = read_valid_documents(text, "random").map_err(|why| why.to_string());
        }
    }
}
