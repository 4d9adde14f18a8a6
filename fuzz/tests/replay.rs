//! Every corpus file through its target: none may panic, none may take long, no target may lack a corpus.

#![allow(clippy::disallowed_methods, reason = "the bound is on real time")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tessera_fuzz::TARGETS;

/// Far above what any input needs in a debug build on a busy machine, far below what a bomb would take.
const BOUND: Duration = Duration::from_secs(5);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn names(directory: &str, suffix: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(directory)).expect(directory);
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"));
    names.map(|name| name.strip_suffix(suffix).map(str::to_owned).unwrap_or(name)).collect()
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("corpus").join(target)).into_iter().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_target_has_a_corpus_and_a_program() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets, names("corpus", ""), "targets and directories of corpus/");
    assert_eq!(targets, names("fuzz_targets", ".rs"), "targets and files of fuzz_targets/");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    for target in &targets {
        assert!(manifest.contains(&format!("fuzz_targets/{target}.rs\"")), "{target} is no [[bin]] of Cargo.toml");
        assert!(inputs(target).len() >= 3, "the corpus of {target} is nearly empty");
    }
}

#[test]
fn every_input_is_taken_or_refused_in_time() {
    for (name, target) in TARGETS {
        for path in inputs(name) {
            let data = fs::read(&path).expect("a corpus file");
            println!("{name} {}", path.display());
            let start = Instant::now();
            target(&data);
            let took = start.elapsed();
            assert!(took < BOUND, "{} took {took:?}", path.display());
        }
    }
}
