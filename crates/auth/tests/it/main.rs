//! The authority's operations over a store in memory and a clock that the test moves.

mod bots;
mod harness;
mod instances;
mod joining;
mod locks;
mod people;
mod renewal;
mod roles;
mod tokens;
mod users;
