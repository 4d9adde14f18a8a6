//! The small expression language of roles and queries, and the templates of role values.
//!
//! One grammar, several languages: each use has a [`Schema`] which says what its expressions may name. An expression is
//! parsed and type-checked when it is written, and evaluated within limits ([`limits`]) afterwards.
//!
//! Pure, and a leaf: it never learns what a role, a user or a resource is. They come in as an [`Environment`].

mod check;
mod error;
mod evaluate;
mod function;
mod lexer;
pub mod limits;
mod pattern;
mod schema;
mod syntax;
mod template;
mod value;
mod version;

#[cfg(test)]
mod tests;

pub use error::{EvaluateError, ParseError};
pub use pattern::{Pattern, PatternError};
pub use schema::{ATTRIBUTES, INTERNAL_TRAITS, LABELS, PARTICIPANT, QUERY, REVIEW, Schema, TRAITS, WHERE};
pub use template::Template;
pub use value::{Environment, Type, Value};

/// A condition that is known to make sense in its language.
#[derive(Debug, Clone)]
pub struct Expression {
    root: check::Node,
    text: String,
}

impl Expression {
    /// Parses and type-checks a text of this language.
    ///
    /// # Errors
    /// Where the text is not of the language, with what was expected there.
    pub fn parse(schema: &'static Schema, text: &str) -> Result<Self, ParseError> {
        let syntax = syntax::parse(text)?;
        let root = check::Checker { text, schema }.condition(&syntax)?;
        Ok(Self { root, text: text.to_owned() })
    }

    /// The text that it was parsed from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether what it says depends on an entry of a map, such as `env` of `labels`.
    #[must_use]
    pub fn looks_at(&self, map: &str, entry: &str) -> bool {
        self.root.looks_at(map, entry)
    }

    /// Whether the condition holds.
    ///
    /// # Errors
    /// When a field that it needs has no value, or it is too expensive. Neither is "no": a caller that grants on true
    /// must not grant, and a caller that denies on true must deny.
    pub fn holds(&self, environment: &dyn Environment) -> Result<bool, EvaluateError> {
        evaluate::Evaluation::new(environment).condition(&self.root)
    }
}

/// Parses the `where` of a role's rule.
///
/// # Errors
/// See [`Expression::parse`].
pub fn parse_where(text: &str) -> Result<Expression, ParseError> {
    Expression::parse(&WHERE, text)
}

/// Parses a `*_labels_expression` of a role.
///
/// # Errors
/// See [`Expression::parse`].
pub fn parse_labels_expression(text: &str) -> Result<Expression, ParseError> {
    Expression::parse(&LABELS, text)
}

/// Parses the `where` of a role's `review_requests`, or the `filter` of a threshold.
///
/// # Errors
/// See [`Expression::parse`].
pub fn parse_review(text: &str) -> Result<Expression, ParseError> {
    Expression::parse(&REVIEW, text)
}

/// Parses the `filter` of a role's `require_session_join`.
///
/// # Errors
/// See [`Expression::parse`].
pub fn parse_participant(text: &str) -> Result<Expression, ParseError> {
    Expression::parse(&PARTICIPANT, text)
}

/// Parses the `--query` of a list command.
///
/// # Errors
/// See [`Expression::parse`].
pub fn parse_query(text: &str) -> Result<Expression, ParseError> {
    Expression::parse(&QUERY, text)
}

/// Parses the `expression` of a workload identity's rule.
///
/// # Errors
/// See [`Expression::parse`].
pub fn parse_attributes_expression(text: &str) -> Result<Expression, ParseError> {
    Expression::parse(&ATTRIBUTES, text)
}

/// Parses a role value with `{{internal.…}}` and `{{external.…}}` in it.
///
/// # Errors
/// See [`Template::parse`].
pub fn parse_template(text: &str) -> Result<Template, ParseError> {
    Template::parse(&TRAITS, text)
}
