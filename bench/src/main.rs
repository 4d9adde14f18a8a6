//! Measures the release binaries from outside, as their users meet them: a server process on loopback with its data on
//! disk, clients with certificates of their own, and `/proc` for what the server spent.
//!
//! `bench --binaries DIR NAME…` prints one Markdown section for each name; `cargo xtask bench` puts them into
//! `docs/performance.md`. The load comes from one thread of this process, so that most of the machine is the server's.

#![allow(clippy::disallowed_methods, reason = "this program measures real time of other processes")]
#![allow(clippy::large_futures, reason = "its futures are few and live once")]

mod agents;
mod bots;
mod certificates;
mod cluster;
mod connections;
mod items;
mod joins;
mod process;
mod proxy;
mod report;
mod server;
mod sizes;
mod starts;
mod stock;
mod yardstick;

use std::{path::PathBuf, pin::Pin, process::ExitCode};

use anyhow::{Context as _, bail};

use crate::report::Report;

/// Where the binaries are.
#[derive(Debug, Clone)]
struct Binaries {
    directory: PathBuf,
}

type Running<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Report>> + 'a>>;

/// Takes one measurement.
type Measurement = for<'a> fn(&'a Binaries) -> Running<'a>;

/// Every measurement by its name, in the order of `docs/performance.md`.
const MEASUREMENTS: [(&str, Measurement); 9] = [
    ("certificates", |binaries| Box::pin(certificates::run(binaries))),
    ("joins", |binaries| Box::pin(joins::run(binaries))),
    ("connections", |binaries| Box::pin(connections::run(binaries))),
    ("starts", |binaries| Box::pin(starts::run(binaries))),
    ("sizes", |binaries| Box::pin(sizes::run(binaries))),
    ("bots", |binaries| Box::pin(bots::run(binaries))),
    ("items", |binaries| Box::pin(items::run(binaries))),
    ("proxy", |binaries| Box::pin(proxy::run(binaries))),
    ("agents", |binaries| Box::pin(agents::run(binaries))),
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut names = Vec::new();
    let mut binaries = None;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--binaries" => binaries = Some(PathBuf::from(arguments.next().context("--binaries needs a directory")?)),
            name => names.push(name.to_owned()),
        }
    }
    let directory = binaries.context("usage: bench --binaries DIR [NAME…]")?;
    let binaries = Binaries { directory: directory.canonicalize().with_context(|| directory.display().to_string())? };
    let all = || MEASUREMENTS.map(|(name, _)| name.to_owned()).to_vec();
    let names = if names.is_empty() { all() } else { names };
    process::allow_many_files()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for name in &names {
        let Some((_, measure)) = MEASUREMENTS.iter().find(|(known, _)| known == name) else {
            bail!("{name:?} is not measured; there are: {}", all().join(", "));
        };
        report::say(&format!("{name} …"));
        let report = runtime.block_on(measure(&binaries)).with_context(|| name.clone())?;
        report::print(&report.section(name));
    }
    Ok(())
}
