//! What takes too long for every change: many random kills, and every measurement.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Name, program and arguments of each step.
const STEPS: [(&str, &[&str]); 3] = [
    ("the programs", &["cargo", "build", "--locked", "-p", "tessera", "-p", "tctl", "-p", "tbot"]),
    ("1,000 random SIGKILLs under joins and renewals", &["interop/crash/run", "1000"]),
    (
        "the conformance suite and the properties of storage",
        &[
            "cargo",
            "test",
            "--locked",
            "-p",
            "storage-sqlite",
            "--",
            "--include-ignored",
            "--skip",
            "write_the_fixture",
        ],
    ),
];

/// Runs everything, then the measurements; the first failure ends it.
pub(crate) fn run() -> Result<()> {
    for (name, command) in STEPS {
        let Some((program, arguments)) = command.split_first() else { continue };
        crate::complain(&format!("soak: {name}"));
        let status = Command::new(program).args(arguments).status().with_context(|| format!("cannot run {program}"))?;
        if !status.success() {
            bail!("{name}: failed");
        }
    }
    crate::bench::run(&[])
}
