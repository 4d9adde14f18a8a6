//! Builds the release binaries, measures them with the `bench` program, and writes what it found to `docs/performance.md`.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

const PAGE: &str = "docs/performance.md";

/// Every measurement, in the order of the page.
const NAMES: [&str; 9] =
    ["certificates", "joins", "connections", "starts", "sizes", "bots", "items", "proxy", "agents"];

/// A goal counts as missed from this ratio on: one machine differs from itself an hour later.
const MISSED: f64 = 1.1;

/// As [`run`], and fails when a goal is missed.
pub(crate) fn check(names: &[&str]) -> Result<()> {
    run(names)?;
    let page = fs::read_to_string(PAGE).with_context(|| format!("{PAGE} cannot be read"))?;
    let measured = if names.is_empty() { &NAMES[..] } else { names };
    let mut rows = Vec::new();
    for name in measured {
        rows.extend(missed(section(&page, name)?.1));
    }
    if rows.is_empty() { Ok(()) } else { bail!("goals that are missed:\n{}", rows.join("\n")) }
}

/// The rows of a section whose goal is missed. Where the goal is also shown scaled to the machine, that row decides.
fn missed(section: &str) -> Vec<&str> {
    let is_missed = |row: &str| {
        let ratio = row.trim_end_matches([' ', '|', '×']).rsplit(' ').next().and_then(|text| text.parse::<f64>().ok());
        ratio.is_none_or(|ratio| ratio >= MISSED)
    };
    let rows: Vec<&str> = section.lines().collect();
    let goals = rows.iter().enumerate().filter(|(_, row)| row.starts_with("| goal: ")).map(|(place, row)| {
        let next = rows.get(place + 1).filter(|next| next.starts_with("| the same goal, scaled |"));
        *next.unwrap_or(row)
    });
    goals.filter(|row| is_missed(row)).collect()
}

/// Runs the named measurements, or all, and replaces their sections of the page.
pub(crate) fn run(names: &[&str]) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| !NAMES.contains(name)) {
        bail!("{unknown:?} is not measured; there are: {}", NAMES.join(", "));
    }
    let directory = build()?;
    let mut failed = Vec::new();
    for &name in if names.is_empty() { &NAMES[..] } else { names } {
        let output = Command::new(directory.join("bench"))
            .arg("--binaries")
            .arg(&directory)
            .arg(name)
            .stderr(std::process::Stdio::inherit())
            .output()
            .context("cannot run bench")?;
        // The others are measured all the same: nobody may be watching.
        if output.status.success() {
            write(name, String::from_utf8(output.stdout)?.trim_end())?;
        } else {
            failed.push(name);
        }
    }
    let line = format!("<!-- bench:machine -->\n{}\n<!-- /bench:machine -->", machine()?);
    write("machine", &line)?;
    if failed.is_empty() { Ok(()) } else { bail!("not measured: {}", failed.join(", ")) }
}

/// Builds what is measured, and what measures; says where it lies.
fn build() -> Result<std::path::PathBuf> {
    // What ships as scripts/quickstart builds it; apart from it what measures, so that its features do not get in.
    for packages in [&["-p", "tessera", "-p", "tctl", "-p", "tbot"][..], &["-p", "bench"]] {
        let status = Command::new("cargo").args(["build", "--release", "--locked"]).args(packages).status()?;
        if !status.success() {
            bail!("{} does not build", packages.join(" "));
        }
    }
    let output = Command::new("cargo").args(["metadata", "--format-version", "1", "--no-deps", "--locked"]).output()?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target directory")?;
    Ok(Path::new(target).join("release"))
}

/// Puts a section, with its marks, in the place of the older one.
fn write(name: &str, section: &str) -> Result<()> {
    let page = fs::read_to_string(PAGE).with_context(|| format!("{PAGE} cannot be read"))?;
    fs::write(PAGE, replaced(&page, name, section)?)?;
    Ok(())
}

fn replaced(page: &str, name: &str, new: &str) -> Result<String> {
    let (before, _, after) = section(page, name)?;
    Ok(format!("{before}{new}{after}"))
}

/// What is before a section's marks, between them, and after.
fn section<'a>(page: &'a str, name: &str) -> Result<(&'a str, &'a str, &'a str)> {
    let (begin, end) = (format!("<!-- bench:{name} -->"), format!("<!-- /bench:{name} -->"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| {
        let (inside, after) = rest.split_once(&end)?;
        Some((before, inside, after))
    });
    parts.with_context(|| format!("{PAGE} has no place for {name}: {begin} {end}"))
}

/// What the figures were measured on.
fn machine() -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|text| text.trim_start_matches(['\t', ' ', ':']));
    let cores = std::thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kibibytes = memory.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "Machine: {cores} cores of {}, {} GiB, Linux {}. The load generator runs on the same cores.",
        model.unwrap_or("an unknown CPU"),
        kibibytes >> 20,
        kernel.trim(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_missed_where_its_scaled_row_says_so_or_its_own() {
        let section = "| clients | p99 |\n| goal: a | 2 s | 1 s | 2.00× |\n| the same goal, scaled | 2 s | 2 s | 1.00× |\n\
                       | goal: b | 2 s | 1 s | 2.00× |\n| SPIRE | 9 s | 1 s | 9.00× |\n| goal: c | 1 s | 1 s | 1.04× |\n\
                       | goal: d | 3 s | 1 s | 3.00× |\n| the same goal, scaled | 3 s | 2 s | 1.50× |";
        let expected = ["| goal: b | 2 s | 1 s | 2.00× |", "| the same goal, scaled | 3 s | 2 s | 1.50× |"];
        assert_eq!(missed(section), expected);
    }

    #[test]
    fn a_section_takes_the_place_of_the_older_one() {
        let page = "a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb";
        let new = "<!-- bench:x -->\nnew\n<!-- /bench:x -->";
        assert_eq!(replaced(page, "x", new).expect("a page"), "a\n<!-- bench:x -->\nnew\n<!-- /bench:x -->\nb");
        replaced(page, "y", new).expect_err("no place for it");
    }
}
