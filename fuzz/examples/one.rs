//! Runs one target over files: `cargo run --manifest-path fuzz/Cargo.toml --example one TARGET FILE…`

use std::{env, fs};

fn main() {
    let mut arguments = env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let (_, target) = tessera_fuzz::TARGETS.iter().find(|(known, _)| *known == name).expect("the name of a target");
    for path in arguments {
        target(&fs::read(&path).expect("a file"));
        println!("{path}: no fault");
    }
}
