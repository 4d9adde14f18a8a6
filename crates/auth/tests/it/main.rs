//! The authority's operations over a store in memory and a clock that the test moves.

mod harness;
mod joining;
mod renewal;
