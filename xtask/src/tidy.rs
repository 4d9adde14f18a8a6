//! The size rules of STYLE.md: lines in a file, lines in a function, methods in a trait; and manifests that inherit the lints.
//!
//! Works on formatted sources, where a block ends with a brace in the column in which its first line began.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;
const TRAIT_METHODS: usize = 12;

/// Paths that may break a rule for now; a path that no longer does must leave the list, so it only shrinks.
const ALLOWED: &str = "xtask/tidy-allow.txt";

/// Checks all sources that git tracks.
pub(crate) fn run() -> Result<()> {
    let allowed: BTreeSet<String> = fs::read_to_string(ALLOWED)
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let mut found = Vec::new();
    for path in tracked(&["*.rs"])? {
        if path.contains("/gen/") || is_test(&path) {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        check(&path, &text, &mut found);
    }
    for path in tracked(&["*Cargo.toml"])? {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        if text.contains("[package]") && !path.starts_with("fuzz/") && !text.contains("[lints]\nworkspace = true") {
            found.push((path, "does not inherit the workspace's lints".to_owned()));
        }
    }
    let broken: BTreeSet<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    let mut complaints: Vec<String> = found
        .iter()
        .filter(|(path, _)| !allowed.contains(path))
        .map(|(path, what)| format!("{path}: {what}"))
        .collect();
    complaints.extend(
        allowed
            .iter()
            .filter(|path| !broken.contains(path.as_str()))
            .map(|path| format!("{path}: is fine now; take it off {ALLOWED}")),
    );
    if !complaints.is_empty() {
        bail!("{}\n{} complaints", complaints.join("\n"), complaints.len());
    }
    Ok(())
}

fn tracked(patterns: &[&str]) -> Result<Vec<String>> {
    let output = Command::new("git").arg("ls-files").args(patterns).output().context("cannot run git ls-files")?;
    let paths = String::from_utf8(output.stdout)?;
    Ok(paths.lines().filter(|path| Path::new(path).exists()).map(str::to_owned).collect())
}

fn is_test(path: &str) -> bool {
    ["tests/", "testkit/", "fuzz/", "interop/", "benches/"].iter().any(|part| path.contains(part))
        || path.ends_with("/tests.rs")
}

fn check(path: &str, text: &str, found: &mut Vec<(String, String)>) {
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text);
    let lines: Vec<&str> = code.lines().collect();
    let count = lines.iter().filter(|line| is_code(line)).count();
    if count > FILE_LINES {
        found.push((path.to_owned(), format!("{count} code lines, at most {FILE_LINES}")));
    }
    for (at, line) in lines.iter().enumerate() {
        if is_start(line, "fn ") {
            let length = block(&lines, at).iter().filter(|line| is_code(line)).count();
            if length > FUNCTION_LINES {
                found.push((
                    path.to_owned(),
                    format!("line {}: a function of {length} lines, at most {FUNCTION_LINES}", at + 1),
                ));
            }
        }
        if is_start(line, "trait ") {
            let methods = block(&lines, at).iter().filter(|line| is_start(line, "fn ")).count();
            if methods > TRAIT_METHODS {
                found.push((
                    path.to_owned(),
                    format!("line {}: a trait of {methods} methods, at most {TRAIT_METHODS}", at + 1),
                ));
            }
        }
    }
}

fn is_code(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with("//")
}

/// Whether an item of this keyword starts on the line, whatever its visibility.
fn is_start(line: &str, keyword: &str) -> bool {
    let mut rest = line.trim_start();
    while let Some((word, after)) = rest.split_once(' ') {
        if rest.starts_with(keyword) {
            return true;
        }
        if !(word.starts_with("pub") || matches!(word, "async" | "const" | "default")) {
            return false;
        }
        rest = after;
    }
    false
}

/// The lines of the item that starts at `at`.
fn block<'a>(lines: &'a [&'a str], at: usize) -> &'a [&'a str] {
    let indent = lines[at].len() - lines[at].trim_start().len();
    if lines[at].trim_end().ends_with(['}', ';']) {
        return &lines[at..=at];
    }
    let end = lines[at + 1..].iter().position(|line| {
        let own = line.len() - line.trim_start().len();
        own == indent && (line.trim_start().starts_with('}') || line.trim_end().ends_with(");"))
    });
    &lines[at..end.map_or(lines.len(), |end| at + end + 2)]
}
