//! Chores of the repository: codegen, tidy, layers, bench.

use std::process::ExitCode;

use anyhow::{Result, bail};

mod bench;
mod codegen;
mod layers;
mod soak;
mod tidy;

const USAGE: &str = "usage: cargo xtask <command>
  codegen [--check]  messages, call markers and descriptors from proto/
  layers             edges between crates, against the architecture
  tidy               size rules of STYLE.md
  bench [--check] [NAME…]
                     measure the release binaries, into docs/performance.md; --check fails when a goal is missed
  soak               what takes longer than scripts/test may";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["codegen"] => codegen::run(false),
        ["codegen", "--check"] => codegen::run(true),
        ["layers"] => layers::run(),
        ["tidy"] => tidy::run(),
        ["bench", "--check", names @ ..] => bench::check(names),
        ["bench", names @ ..] => bench::run(names),
        ["soak"] => soak::run(),
        _ => bail!("{USAGE}"),
    }
}

#[expect(clippy::print_stderr, reason = "a chore talks to the person who started it")]
fn complain(text: &str) {
    eprintln!("{text}");
}
