use clock::ManualClock;

use super::*;

/// Logs into a file and gives back what was written, without the callers' line numbers.
fn logged(format: Format, severity: Severity, speak: impl FnOnce(&Handle)) -> String {
    logged_as(Config { format, severity, ..Config::default() }, speak)
}

fn logged_as(config: Config, speak: impl FnOnce(&Handle)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let config = Config { output: Output::File(path.clone()), components: &[("telemetry", "TEST")], ..config };
    let clock = ManualClock::new("2026-01-02T03:04:05.678Z".parse().unwrap());
    let (subscriber, handle) = subscriber(&config, clock.clock()).unwrap();
    tracing::subscriber::with_default(subscriber, || speak(&handle));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.split(" telemetry/").next().unwrap().to_owned() + "\n").collect()
}

#[test]
fn a_text_line_has_time_level_component_message_and_fields() {
    let text = logged(Format::Text, Severity::Info, |_| {
        tracing::info!(name = "ci bot", count = 3, "wrote output");
        tracing::warn!(component = "OTHER", peer = "10.0.0.1:1", "odd");
        tracing::debug!("not shown");
    });
    assert_eq!(
        text,
        "2026-01-02T03:04:05.678Z INFO  [TEST] wrote output name:\"ci bot\" count:3\n\
         2026-01-02T03:04:05.678Z WARN  [OTHER] odd peer:10.0.0.1:1\n"
    );
}

#[test]
fn a_strangers_text_cannot_start_a_line_of_its_own() {
    let text = logged(Format::Text, Severity::Info, |_| {
        tracing::info!(name = "a\nb", "got {}", "x\n2026 ERROR [AUTH] forged\u{1b}[2J");
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn secrets_are_cut_out_of_fields_and_messages() {
    for format in [Format::Text, Format::Json] {
        let text = logged(format, Severity::Info, |_| {
            tracing::info!(token = "SECRET", password = ?Some("SECRET"), "hello");
            tracing::info!("-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----");
        });
        assert!(!text.contains("SECRET"), "{text}");
        assert!(text.contains("<redacted>"), "{text}");
    }
}

#[test]
fn json_lines_are_objects_with_the_fields_of_spans() {
    let text = logged(Format::Json, Severity::Info, |_| {
        let _span = tracing::info_span!("request", peer = "p", user = "outer").entered();
        tracing::info!(user = "inner", "done");
    });
    let mut line: serde_json::Value = serde_json::from_str(&text).unwrap();
    line.as_object_mut().unwrap().remove("caller").unwrap();
    assert_eq!(
        line,
        serde_json::json!({"timestamp": "2026-01-02T03:04:05.678Z", "level": "info", "component": "TEST",
            "message": "done", "user": "inner", "peer": "p"})
    );
}

#[test]
fn a_line_carries_only_the_extra_fields_that_were_chosen() {
    for (format, extra, expected) in [
        (Format::Text, vec![Extra::Level], "INFO  hello a:1\n"),
        (Format::Text, vec![Extra::Component, Extra::Timestamp], "2026-01-02T03:04:05.678Z [TEST] hello a:1\n"),
        (Format::Json, vec![Extra::Component], "{\"component\":\"TEST\",\"message\":\"hello\",\"a\":1}\n"),
    ] {
        let text = logged_as(Config { format, extra, ..Config::default() }, |_| tracing::info!(a = 1, "hello"));
        assert_eq!(text, expected);
    }
    let text = logged_as(Config { extra: vec![Extra::Caller], ..Config::default() }, |_| tracing::info!("hello"));
    assert_eq!(text, "hello\n", "the caller is cut off by this test, the rest must not be there");
}

#[test]
fn the_severity_changes_while_running() {
    let text = logged(Format::Text, Severity::Error, |handle| {
        tracing::info!("one");
        handle.set_severity(Severity::Debug);
        assert_eq!(handle.severity(), Severity::Debug);
        tracing::debug!("two");
    });
    assert!(!text.contains("one") && text.contains("two"), "{text}");
}

#[test]
fn syslog_is_refused_by_name() {
    let config = Config { output: "syslog".parse().unwrap(), ..Config::default() };
    let error = subscriber(&config, Clock::system()).err().unwrap();
    assert!(error.to_string().contains("not supported yet"), "{error}");
}
