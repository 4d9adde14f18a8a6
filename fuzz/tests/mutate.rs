//! A moment of fuzzing in every run of the tests: seeded, bounded, without outside tools.
//!
//! `TESSERA_FUZZ_RUNS=1000000` and `TESSERA_FUZZ_SEED=7` go on for longer and elsewhere. An input that fails is kept in
//! `artifacts/<target>.input`; add it to the corpus together with the fix.

#![allow(
    clippy::disallowed_methods,
    reason = "no clock is injected into a fuzzer, and a person sets its length and its seed"
)]

use std::{
    env, fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
    time::{Duration, Instant},
};

use tessera_fuzz::{TARGETS, Target};

/// Inputs for each target.
const RUNS: usize = 400;
/// Time for each target, when the runs are not asked for.
const TIME: Duration = Duration::from_secs(2);
/// The longest for one input.
const BOUND: Duration = Duration::from_secs(5);
/// Inputs are cut here: what is long is slow without being interesting.
const LONGEST: usize = 8 * 1024;

/// xorshift64*: repeatable, and good enough to choose places in a text.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }
}

/// Values at which lengths and numbers break, and pieces of the grammars.
const PIECES: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x30\x80",
    b"\x30\x84\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"{{",
    b"}}",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b"'",
    b"\n",
    b"\n---\n",
    b"*",
    b"&a ",
    b"*a",
    b": ",
    b"- ",
    b"-1",
    b"18446744073709551616",
    b"../",
    b"%00",
    b"\xe2\x80\xae",
    b"~",
    b"null",
    b"^",
    b"$",
    b"(",
    b")",
    b"!",
    b"||",
    b"==",
];

fn mutate(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = corpus[dice.below(corpus.len())].clone();
    data.truncate(LONGEST);
    for _ in 0..=dice.below(6) {
        let at = dice.below(data.len() + 1);
        let end = at + dice.below(data.len() - at + 1).min(64);
        match dice.below(7) {
            0 if at < data.len() => data[at] ^= 1 << dice.below(8),
            1 if at < data.len() => data[at] = dice.below(256) as u8,
            2 => drop(data.drain(at..end)),
            3 => {
                let piece = data[at..end].to_vec();
                data.splice(at..at, piece.repeat(1 + dice.below(4)));
            }
            4 => drop(data.splice(at..at, PIECES[dice.below(PIECES.len())].iter().copied())),
            5 => data.truncate(at),
            _ => {
                let other = &corpus[dice.below(corpus.len())];
                let from = dice.below(other.len() + 1);
                let to = from + dice.below(other.len() - from + 1).min(256);
                data.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    data.truncate(LONGEST);
    data
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: must be a number, found {text:?}")))
}

fn fuzz(name: &str, target: Target, seed: u64, runs: Option<u64>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join("corpus").join(name)).expect("a corpus");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let corpus: Vec<_> = files.iter().map(|path| fs::read(path).expect("a corpus file")).collect();
    fs::create_dir_all(root.join("artifacts")).expect("a directory for what fails");
    let kept = root.join("artifacts").join(format!("{name}.input"));
    let mut dice = Dice(seed | 1);
    let start = Instant::now();
    for run in 0..runs.unwrap_or(RUNS as u64) {
        if runs.is_none() && start.elapsed() > TIME {
            break;
        }
        let data = mutate(&mut dice, &corpus);
        let began = Instant::now();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| target(&data)));
        let took = began.elapsed();
        if outcome.is_err() || took > BOUND {
            fs::write(&kept, &data).expect("the input is kept");
            panic!("{name} failed on run {run} of seed {seed} after {took:?}; the input is in {}", kept.display());
        }
    }
}

#[test]
fn mutated_inputs_are_taken_or_refused() {
    let (seed, runs) = (number("TESSERA_FUZZ_SEED").unwrap_or(0x7e55_e4a0), number("TESSERA_FUZZ_RUNS"));
    let failed: Vec<_> = TARGETS
        .iter()
        .filter(|(name, target)| {
            println!("{name}");
            panic::catch_unwind(|| fuzz(name, *target, seed, runs)).is_err()
        })
        .map(|(name, _)| *name)
        .collect();
    assert!(failed.is_empty(), "{failed:?} failed; see above");
}
