//! Builds the release binaries, measures them with the `bench` program, and writes what it found to `docs/performance.md`.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

const PAGE: &str = "docs/performance.md";

/// Every measurement, in the order of the page.
const NAMES: [&str; 9] =
    ["certificates", "joins", "connections", "starts", "sizes", "bots", "items", "proxy", "agents"];

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

fn replaced(page: &str, name: &str, section: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- bench:{name} -->"), format!("<!-- /bench:{name} -->"));
    let parts = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = parts.with_context(|| format!("{PAGE} has no place for {name}: {begin} {end}"))?;
    Ok(format!("{before}{section}{after}"))
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
    fn a_section_takes_the_place_of_the_older_one() {
        let page = "a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb";
        let new = "<!-- bench:x -->\nnew\n<!-- /bench:x -->";
        assert_eq!(replaced(page, "x", new).expect("a page"), "a\n<!-- bench:x -->\nnew\n<!-- /bench:x -->\nb");
        replaced(page, "y", new).expect_err("no place for it");
    }
}
