//! What an expression may cost. Roles are written by administrators but evaluated on every request, on values that
//! anybody's labels and traits fill in; each limit keeps one expression from holding up everybody else.

/// Longest text of an expression or of a template, in bytes.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Deepest nesting of an expression: brackets and `!` within each other. The parser recurses, so this bounds its stack.
pub const MAX_DEPTH: usize = 64;

/// Highest tree, counting a chain of operators a level each. Checker and evaluator recurse over it.
pub const MAX_HEIGHT: usize = 256;

/// Most nodes (literals, fields, operators, calls) of one expression.
pub const MAX_NODES: usize = 2048;

/// Most steps of one evaluation: a step is a node visited or a string compared, matched or made.
pub const MAX_STEPS: usize = 100_000;

/// Longest string that a function may make, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// Most values that one template may expand to.
pub const MAX_EXPANSION: usize = 1024;

/// Largest compiled regular expression, in bytes. The `regex` crate matches in linear time, so size is all that must be bounded.
pub const MAX_REGEX_BYTES: usize = 1024 * 1024;
