//! Templates: text with `{{expression}}` in it.

use std::borrow::Cow;

use crate::{
    check::{Checker, Node},
    error::{EvaluateError, ParseError},
    evaluate::Evaluation,
    limits::{MAX_EXPANSION, MAX_VALUE_BYTES},
    schema::Schema,
    syntax::{check_length, parse_in_braces},
    value::Environment,
};

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Expression(Node),
}

/// A parsed template.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// Parses a text whose expressions are of this language.
    ///
    /// # Errors
    /// When braces are left open or closed without having been opened, or an expression in them makes no sense.
    pub fn parse(schema: &'static Schema, text: &str) -> Result<Self, ParseError> {
        check_length(text)?;
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let literal = rest.split_once("{{").map_or(rest, |(literal, _)| literal);
            if let Some(stray) = literal.find("}}") {
                return Err(ParseError::new(text, at + stray, "`}}`", "`{{` before it"));
            }
            if !literal.is_empty() {
                parts.push(Part::Text(literal.to_owned()));
                at += literal.len();
                continue;
            }
            let (syntax, end) = parse_in_braces(text, at + 2)?;
            parts.push(Part::Expression(Checker { text, schema }.strings(&syntax)?));
            at = end;
        }
        Ok(Self { parts })
    }

    /// The text itself, when there is no expression in it.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Every value that the template stands for: one for each value of an expression that is a list, in every
    /// combination when there are several. Without any value for an expression, or with an empty one, there is none.
    ///
    /// # Errors
    /// When an expression has no value, or there would be more than [`MAX_EXPANSION`] of them.
    pub fn expand(&self, environment: &dyn Environment) -> Result<Vec<String>, EvaluateError> {
        let mut values = vec![String::new()];
        for part in &self.parts {
            let choices = match part {
                Part::Text(text) => vec![Cow::Borrowed(text.as_str())],
                Part::Expression(node) => {
                    let mut choices = Evaluation::new(environment).strings(node, "{{…}}")?;
                    choices.retain(|choice| !choice.is_empty());
                    choices
                }
            };
            let room = MAX_EXPANSION / values.len().max(1);
            if choices.len() > room {
                return Err(EvaluateError::Limit { what: "values from one template", limit: MAX_EXPANSION });
            }
            values =
                values.iter().flat_map(|head| choices.iter().map(move |choice| format!("{head}{choice}"))).collect();
            if values.iter().any(|value| value.len() > MAX_VALUE_BYTES) {
                return Err(EvaluateError::Limit { what: "bytes in one value", limit: MAX_VALUE_BYTES });
            }
        }
        values.retain(|value| !value.is_empty());
        Ok(values)
    }
}
