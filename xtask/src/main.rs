//! Chores of the repository: codegen, tidy, layers, bench.

fn main() {}
