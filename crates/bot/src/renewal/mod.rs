//! When to ask for what: the pure machine, and the driver that carries out what it says.

pub(crate) mod driver;
pub mod machine;
#[cfg(test)]
mod tests;
