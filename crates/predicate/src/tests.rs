use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

struct World {
    labels: BTreeMap<String, String>,
    traits: BTreeMap<String, Vec<String>>,
}

impl World {
    fn new() -> Self {
        let text = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let labels = text(&[("env", "prod"), ("team-a", "red"), ("team-b", "blue"), ("owners", "ann,bob")]);
        let traits = [
            ("teams", vec!["red", "green"]),
            ("email", vec!["Ann <ann@example.com>", "bob@example.com"]),
            ("logins", vec!["ann", ""]),
            ("groups", vec!["ops-eu", "ops-us", "dev"]),
            ("bad", vec!["no address"]),
            ("my key", vec!["x"]),
        ];
        let own = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
        Self { labels, traits: traits.into_iter().map(|(k, v)| (k.to_owned(), own(v))).collect() }
    }
}

impl Environment for World {
    fn field(&self, name: &str) -> Value<'_> {
        match name {
            "labels" | "impersonate_role.metadata.labels" | "workload.kubernetes.labels" => Value::Labels(&self.labels),
            "user.spec.traits" | "internal" | "external" => Value::Traits(&self.traits),
            "user.spec.roles" => Value::List(vec!["editor".into(), "access".into()]),
            "user.metadata.name" => Value::text("ann"),
            "host_cert.principals" => Value::List(vec!["a.example".into(), "b.example".into()]),
            "session.participants" if self.labels.contains_key("nobody") => Value::List(Vec::new()),
            "spec.version" => Value::text("v18.2.1"),
            "name" => Value::text("db-1"),
            "workload.unix.uid" => Value::Int(1000),
            "join.github.repository" => Value::text("org/repo"),
            _ => Value::Absent,
        }
    }
}

#[test]
fn conditions_hold_or_not() {
    let cases: &[(&Schema, &str, bool)] = &[
        (&WHERE, r#"contains(user.spec.roles, "editor")"#, true),
        (&WHERE, r#"contains(user.spec.roles, "auditor") || equals(user.metadata.name, "ann")"#, true),
        (&WHERE, r#"!contains(user.spec.traits["teams"], "red")"#, false),
        (&WHERE, r#"!(contains(user.spec.traits["none"], "red") && true)"#, true),
        (&WHERE, r#"equals(impersonate_role.metadata.labels["env"], 'prod')"#, true),
        (&WHERE, "equals(impersonate_role.metadata.labels.env, `prod`)", true),
        // && binds tighter than ||
        (&WHERE, "true || false && false", true),
        (&WHERE, "(true || false) && false", false),
        (&WHERE, r#"all_end_with(host_cert.principals, ".example")"#, true),
        (&WHERE, r#"all_end_with(host_cert.principals, "a.example")"#, false),
        (&WHERE, r#"all_equal(host_cert.principals, "a.example")"#, false),
        (&WHERE, r#"all_equal(user.metadata.name, "ann")"#, true),
        (&WHERE, r#"is_subset(host_cert.principals, "b.example", "c.example", "a.example")"#, true),
        (&WHERE, r#"is_subset(host_cert.principals, "b.example")"#, false),
        (&QUERY, r#"newer_than(spec.version, "18.2.0") && older_than(spec.version, "18.10.0")"#, true),
        (&QUERY, r#"older_than("18.2.1-rc.1", spec.version) && !newer_than(spec.version, "18.2.1+build")"#, true),
        (&QUERY, r#"between(spec.version, "18.2.1", "18.2.2") && !between(spec.version, "18.0.0", "18.2.1")"#, true),
        (&LABELS, r#"labels["env"] == "prod" && labels["env"] != "dev""#, true),
        (&LABELS, r#"labels["missing"] == """#, true),
        (&LABELS, r#"contains(user.spec.traits["teams"], labels["team-a"])"#, true),
        (&LABELS, r#"contains_any(user.spec.traits["teams"], labels_matching("team-*"))"#, true),
        (&LABELS, r#"contains_all(user.spec.traits["teams"], labels_matching("team-*"))"#, false),
        (&LABELS, r#"contains_all(user.spec.traits["teams"], labels_matching("nothing"))"#, false),
        (&LABELS, r#"regexp.match(labels["env"], "^(prod|dev)$")"#, true),
        (&LABELS, r#"regexp.match(labels["env"], "pro")"#, false),
        (&LABELS, r#"regexp.match(labels_matching("team-*"), "bl*")"#, true),
        (&LABELS, r#"regexp.replace(labels["env"], "^p(.*)$", "$1") == "rod""#, true),
        (&LABELS, r#"contains(email.local(user.spec.traits["email"]), "ann")"#, true),
        (&LABELS, r#"strings.upper(labels["env"]) == "PROD" && strings.lower("A") == "a""#, true),
        (&QUERY, r#"name == "db-1" && equals(labels.env, "prod")"#, true),
        (&QUERY, r#"exists(labels["env"]) && !exists(labels["nope"])"#, true),
        (&QUERY, r#"search("PROD", "db") && !search("prod", "nowhere")"#, true),
        (&QUERY, r#"hasPrefix(name, "db-") && contains(split(labels["owners"], ","), "bob")"#, true),
        (&ATTRIBUTES, "workload.unix.uid == 1000 && join.github.repository == 'org/repo'", true),
        (&ATTRIBUTES, r#"workload.kubernetes.labels["env"] == "prod""#, true),
        (&ATTRIBUTES, "exists(join.gitlab.ref)", false),
    ];
    for (schema, text, expected) in cases {
        let schema: &'static Schema = [&WHERE, &LABELS, &QUERY, &ATTRIBUTES]
            .into_iter()
            .find(|known| std::ptr::eq::<Schema>(*known, *schema))
            .expect("a known language");
        let expression = Expression::parse(schema, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(expression.holds(&World::new()), Ok(*expected), "{text}");
    }
}

#[test]
fn mistakes_are_told_where_they_are() {
    let cases = [
        (parse_where("contains(user.spec.roles, )").map(drop), "at character 27: expected a field, a function"),
        (parse_where("equals(user.metadata.name").map(drop), "at character 26: expected `,` or `)`, found the end"),
        (parse_where(r#"user.metadata.name == "x""#).map(drop), "at character 20: expected `equals(a, b)`"),
        (
            parse_where("contains(user.spec.rolls, 'x')").map(drop),
            "at character 10: expected one of user.metadata.name",
        ),
        (parse_where("equals(user.spec.roles, 'x')").map(drop), "at character 25: expected a list of strings"),
        (parse_where("user.metadata.name").map(drop), "at character 1: expected a condition"),
        (parse_where("regexp.match('a', 'b')").map(drop), "expected one of the functions contains, equals"),
        (parse_where("is_subset(user.spec.roles)").map(drop), "at least two arguments of is_subset"),
        (parse_where("true & false").map(drop), "at character 6: expected `&&`, found `&`"),
        (parse_where("é").map(drop), "at character 1"),
        (parse_where("").map(drop), "found the end of the text"),
        (parse_where("true true").map(drop), "expected an operator or the end of the text, found `true`"),
        (parse_where("equals('a', \"b)").map(drop), "expected a closing \""),
        (parse_labels_expression(r#"regexp.match(labels["a"], "^($")"#).map(drop), "at character 27"),
        (parse_labels_expression(r#"regexp.match(labels["a"], labels["b"])"#).map(drop), "expected a string in quotes"),
        (parse_labels_expression(r#"labels["a"] == 3"#).map(drop), "expected a string, found a number"),
        (parse_labels_expression("labels == labels").map(drop), "found labels (choose one"),
        (parse_query("search()").map(drop), "at least one argument of search"),
        (parse_query("split(name) == 'x'").map(drop), "expected 2 argument(s) of split, found 1"),
        (parse_template("{{internal.nothing}}").map(drop), "other traits are external.nothing"),
        (parse_template("a}}").map(drop), "expected `{{` before it"),
        (parse_template("{{external.a").map(drop), "expected `}}`, found the end"),
        (parse_template("{{external}}").map(drop), "choose one"),
    ];
    for (result, expected) in cases {
        let error = result.expect_err(expected).to_string();
        assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
    }
}

#[test]
fn templates_expand() {
    let cases: &[(&str, &[&str])] = &[
        ("plain", &["plain"]),
        ("", &[]),
        ("{{internal.logins}}", &["ann"]),
        ("{{ external.teams }}", &["red", "green"]),
        (r#"x-{{external["my key"]}}-y"#, &["x-x-y"]),
        ("{{external.none}}", &[]),
        ("prefix-{{external.none}}", &[]),
        ("{{email.local(external.email)}}", &["ann", "bob"]),
        (r#"{{regexp.replace(external.groups, "^ops-(.*)$", "$1")}}"#, &["eu", "us"]),
        (r#"{{regexp.replace(email.local(external.email), "^a{1}(.*)$", "x$1")}}"#, &["xnn"]),
        ("{{external.teams}}-{{internal.logins}}", &["red-ann", "green-ann"]),
    ];
    for (text, expected) in cases {
        let template = parse_template(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(template.expand(&World::new()).unwrap(), *expected, "{text}");
    }
    assert_eq!(
        parse_template("{{email.local(external.bad)}}").unwrap().expand(&World::new()),
        Err(EvaluateError::Email("no address".into()))
    );
    let id = Template::parse(&ATTRIBUTES, "/svc/{{workload.unix.uid}}/{{join.github.repository}}").unwrap();
    assert_eq!(id.expand(&World::new()).unwrap(), ["/svc/1000/org/repo"]);
    let absent = Template::parse(&ATTRIBUTES, "/svc/{{join.gitlab.ref}}").unwrap();
    assert_eq!(absent.expand(&World::new()), Err(EvaluateError::Absent("join.gitlab.ref".into())));
}

#[test]
fn of_an_empty_list_nothing_is_true() {
    let mut world = World::new();
    world.labels.insert("nobody".into(), String::new());
    for text in ["all_equal(session.participants, '')", "all_end_with(session.participants, '')"] {
        assert_eq!(parse_where(text).unwrap().holds(&world), Ok(false), "{text}");
    }
    assert_eq!(parse_where("is_subset(session.participants, 'ann')").unwrap().holds(&world), Ok(false));
}

#[test]
fn what_is_no_version_is_neither_older_nor_newer() {
    for text in ["newer_than(name, '1.0.0')", "older_than('1.0', '1.0.0')", "between('1.2.3', '1.0.0', 'x')"] {
        assert!(parse_query(text).unwrap().holds(&World::new()).is_err(), "{text}");
    }
}

#[test]
fn an_absent_field_is_an_error_not_a_no() {
    let about_session = parse_where("!contains(session.participants, user.metadata.name)").unwrap();
    assert_eq!(about_session.holds(&World::new()), Err(EvaluateError::Absent("session.participants".into())));
}

#[test]
fn patterns_are_regular_only_between_anchors() {
    let cases = [
        ("*", "anything", true),
        ("prod", "prod", true),
        ("pr.d", "prod", false),
        ("pr*d", "prxxd", true),
        ("a*a", "a", false),
        ("*-eu-*", "x-eu-y", true),
        ("a*b*c", "a-c-b", false),
        ("^pr.d$", "prod", true),
        ("^pr.d", "prod", false),
        ("^a$|^b$", "b", true),
        ("^a|b$", "ax", false),
        ("^a$", "xa", false),
    ];
    for (pattern, value, expected) in cases {
        assert_eq!(Pattern::new(pattern).unwrap().matches(value), expected, "{pattern} on {value}");
    }
    assert!(Pattern::new("^($").is_err());
    let large = Pattern::new(r"^(\w{500}){500}$").unwrap_err();
    assert!(large.reason.contains("needs more than"), "{large}");
}

#[test]
fn expressions_are_bounded() {
    let deep = format!("{}true{}", "(".repeat(5000), ")".repeat(5000));
    assert!(parse_where(&deep).unwrap_err().expected.contains("nested"));
    assert!(parse_where(&"!".repeat(5000)).unwrap_err().expected.contains("nested"));
    let chain = vec!["true"; 1000].join(" && ");
    assert!(parse_where(&chain).unwrap_err().expected.contains("in a row"));
    let wide = format!("search({})", vec!["'a'"; 3000].join(","));
    assert!(parse_query(&wide).unwrap_err().expected.contains("parts"));
    assert!(parse_where(&" ".repeat(limits::MAX_TEXT_BYTES + 1)).unwrap_err().expected.contains("bytes"));

    // The largest that is let through must fit the stack of a small thread, in a debug build too.
    let chain = vec!["true"; 190].join(" && ");
    let nested = format!("{}{chain}{}", "!(".repeat(31), ")".repeat(31));
    let evaluated = std::thread::Builder::new()
        .stack_size(1 << 20)
        .spawn(move || parse_where(&nested).expect("within the limits").holds(&World::new()));
    assert_eq!(evaluated.expect("a thread").join().expect("no overflow"), Ok(false));

    struct Crowd;
    impl Environment for Crowd {
        fn field(&self, _: &str) -> Value<'_> {
            Value::List((0..1000).map(|i| i.to_string().into()).collect())
        }
    }
    let product = parse_labels_expression("contains_any(user.spec.roles, user.spec.roles)").unwrap();
    assert_eq!(product.holds(&Crowd), Err(EvaluateError::Limit { what: "steps", limit: limits::MAX_STEPS }));
}

fn noise() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "contains",
        "(",
        ")",
        "[",
        "]",
        "{{",
        "}}",
        "&&",
        "||",
        "!",
        "==",
        "user.spec.roles",
        "labels",
        "\"a\"",
        "'",
        "\"",
        "external.",
        "regexp.replace",
        ",",
        " ",
        "é",
        "\\",
        "^",
        "$",
        "*",
        "-1",
        "99999999999999999999",
        "true",
    ]);
    prop_oneof![any::<String>(), prop::collection::vec(words, 0..60).prop_map(|words| words.concat())]
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in noise()) {
        let world = World::new();
        for schema in [&WHERE, &LABELS, &QUERY, &ATTRIBUTES] {
            match Expression::parse(schema, &text) {
                Ok(expression) => drop(expression.holds(&world)),
                Err(error) => prop_assert!(error.offset <= text.len()),
            }
        }
        if let Ok(template) = parse_template(&text) {
            drop(template.expand(&world));
        }
        let _ = Pattern::new(&text);
    }

    #[test]
    fn a_text_without_braces_expands_to_itself(text in "[^{}]{1,40}") {
        prop_assert_eq!(parse_template(&text).unwrap().expand(&World::new()).unwrap(), vec![text]);
    }
}

#[test]
fn what_an_expression_looks_at_is_known() {
    for (text, looks) in [
        (r#"labels["env"] == "prod""#, true),
        (r#"!(labels.env == "prod") && labels["a"] == "b""#, true),
        (r#"labels["team"] == "env" || contains(user.spec.traits["env"], "x")"#, false),
        (r#"contains(user.spec.traits["teams"], labels["env"])"#, true),
        (r#"contains_any(user.spec.traits["teams"], labels_matching("e*"))"#, true),
        (r#"contains_any(user.spec.traits["teams"], labels_matching("team-*"))"#, false),
        (r#"regexp.match(strings.upper(labels["env"]), "A")"#, true),
    ] {
        assert_eq!(
            parse_labels_expression(text).map(|expression| expression.looks_at("labels", "env")),
            Ok(looks),
            "{text}"
        );
    }
}
