//! The type check, made once when an expression is written: names become fields and functions, patterns are compiled.

use regex::Regex;

use crate::{
    error::ParseError,
    function::{Function, Gives, Parameter},
    pattern::{Pattern, compile},
    schema::{INTERNAL_TRAITS, Schema},
    syntax::{Operator, Shape, Syntax},
    value::Type,
};

/// An expression that is known to make sense.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Text(String),
    Int(i64),
    Bool(bool),
    Field(String),
    /// An entry of labels (`list` is false), of traits (`list` is true), or of an attribute (`list` is none).
    Index {
        map: String,
        key: Box<Node>,
        list: Option<bool>,
    },
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Equal(Box<Node>, Box<Node>),
    Match(Box<Node>, Pattern),
    Replace(Box<Node>, Regex, String),
    LabelsMatching(Pattern),
    Call(Function, Vec<Node>),
}

impl Node {
    /// Whether the value depends on this entry of a map. What is looked up by a computed key may be any entry.
    pub(crate) fn looks_at(&self, name: &str, entry: &str) -> bool {
        let looks = |node: &Self| node.looks_at(name, entry);
        match self {
            Self::Text(_) | Self::Int(_) | Self::Bool(_) => false,
            Self::Field(field) => field == name,
            Self::Index { map, key, .. } => match key.as_ref() {
                Self::Text(key) => map == name && key == entry,
                computed => map == name || looks(computed),
            },
            Self::LabelsMatching(pattern) => name == "labels" && pattern.matches(entry),
            Self::Not(one) | Self::Match(one, _) | Self::Replace(one, ..) => looks(one),
            Self::And(one, other) | Self::Or(one, other) | Self::Equal(one, other) => looks(one) || looks(other),
            Self::Call(_, arguments) => arguments.iter().any(looks),
        }
    }
}

/// Checks a tree against a language.
pub(crate) struct Checker<'a> {
    pub(crate) text: &'a str,
    pub(crate) schema: &'static Schema,
}

type Checked = Result<(Node, Type), ParseError>;

impl Checker<'_> {
    fn error<T>(&self, at: usize, found: impl Into<String>, expected: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError::new(self.text, at, found, expected))
    }

    /// Checks a tree that must be true or false.
    pub(crate) fn condition(&self, syntax: &Syntax) -> Result<Node, ParseError> {
        match self.check(syntax)? {
            (node, Type::Bool | Type::Any) => Ok(node),
            (_, other) => self.error(syntax.offset, other.describe(), "a condition, which is true or false"),
        }
    }

    /// Checks a tree that must be a string or several.
    pub(crate) fn strings(&self, syntax: &Syntax) -> Result<Node, ParseError> {
        match self.check(syntax)? {
            (node, Type::Text | Type::List | Type::Any) => Ok(node),
            (_, other) => self.error(syntax.offset, other.describe(), "a string or a list of strings"),
        }
    }

    fn check(&self, syntax: &Syntax) -> Checked {
        Ok(match &syntax.shape {
            Shape::Text(text) => (Node::Text(text.clone()), Type::Text),
            Shape::Int(number) => (Node::Int(*number), Type::Int),
            Shape::Bool(value) => (Node::Bool(*value), Type::Bool),
            Shape::Path(path) => return self.path(syntax.offset, path),
            Shape::Index(map, key) => return self.index(map, key),
            Shape::Call(name, arguments) => return self.call(syntax.offset, name, arguments),
            Shape::Not(inner) => (Node::Not(Box::new(self.condition(inner)?)), Type::Bool),
            Shape::Binary(operator, left, right) => return self.binary(syntax.offset, *operator, left, right),
        })
    }

    fn binary(&self, offset: usize, operator: Operator, left: &Syntax, right: &Syntax) -> Checked {
        let both = |this: &Self| Ok((Box::new(this.condition(left)?), Box::new(this.condition(right)?)));
        let node = match operator {
            Operator::And => both(self).map(|(left, right)| Node::And(left, right))?,
            Operator::Or => both(self).map(|(left, right)| Node::Or(left, right))?,
            Operator::Equal | Operator::NotEqual => {
                if !self.schema.comparisons {
                    let found = format!("`{}`", operator.as_str());
                    return self.error(offset, found, "`equals(a, b)` or `!equals(a, b)` in place of it");
                }
                let equal = self.equal(left, right)?;
                if operator == Operator::Equal { equal } else { Node::Not(Box::new(equal)) }
            }
        };
        Ok((node, Type::Bool))
    }

    fn equal(&self, left: &Syntax, right: &Syntax) -> Result<Node, ParseError> {
        let (a, left_type) = self.check(left)?;
        let (b, right_type) = self.check(right)?;
        if !Parameter::Scalar.accepts(left_type) {
            return self.error(left.offset, left_type.describe(), Parameter::Scalar.describe());
        }
        if left_type != right_type && left_type != Type::Any && right_type != Type::Any {
            return self.error(right.offset, right_type.describe(), left_type.describe());
        }
        Ok(Node::Equal(Box::new(a), Box::new(b)))
    }

    fn path(&self, offset: usize, path: &[String]) -> Checked {
        let whole = path.join(".");
        if let Some((name, kind, rest)) = self.schema.field(path) {
            return match rest {
                [] => Ok((Node::Field(name.to_owned()), kind)),
                [key] => self.entry(offset, name, kind, Node::Text(key.clone())),
                _ => self.error(offset, format!("`{whole}`"), format!("`{name}[\"key\"]`")),
            };
        }
        let is_tree = path.first().is_some_and(|first| self.schema.trees.contains(&first.as_str()));
        if is_tree && path.len() > 1 {
            return Ok((Node::Field(whole), Type::Any));
        }
        self.error(offset, format!("`{whole}`"), self.schema.expected_fields())
    }

    fn index(&self, map: &Syntax, key: &Syntax) -> Checked {
        let (Node::Field(name), kind) = self.check(map)? else {
            return self.error(map.offset, "something else", "a field before `[`");
        };
        let (key_node, key_type) = self.check(key)?;
        if !Parameter::Text.accepts(key_type) {
            return self.error(key.offset, key_type.describe(), "a string");
        }
        self.entry(key.offset, &name, kind, key_node)
    }

    fn entry(&self, offset: usize, map: &str, kind: Type, key: Node) -> Checked {
        if let ("internal", Node::Text(name)) = (map, &key)
            && !INTERNAL_TRAITS.contains(&name.as_str())
        {
            let expected = format!("one of {} (other traits are external.{name})", INTERNAL_TRAITS.join(", "));
            return self.error(offset, format!("`{name}`"), expected);
        }
        let (list, gives) = match kind {
            Type::Labels => (Some(false), Type::Text),
            Type::Traits => (Some(true), Type::List),
            Type::Any => (None, Type::Any),
            other => return self.error(offset, other.describe(), "labels or traits"),
        };
        Ok((Node::Index { map: map.to_owned(), key: Box::new(key), list }, gives))
    }

    fn call(&self, offset: usize, name: &str, arguments: &[Syntax]) -> Checked {
        let Some(function) = Function::parse(name).filter(|f| self.schema.functions.contains(f)) else {
            let names: Vec<_> = self.schema.functions.iter().map(|f| f.name()).collect();
            return self.error(offset, format!("`{name}(…)`"), format!("one of the functions {}", names.join(", ")));
        };
        let Some(parameters) = function.parameters() else {
            return self.variadic(offset, function, arguments);
        };
        if arguments.len() != parameters.len() {
            let expected = format!("{} argument(s) of {}", parameters.len(), function.name());
            return self.error(offset, arguments.len().to_string(), expected);
        }
        let mut nodes = Vec::new();
        let mut types = Vec::new();
        for (argument, parameter) in arguments.iter().zip(parameters) {
            let (node, kind) = self.argument(argument, *parameter)?;
            nodes.push(node);
            types.push(kind);
        }
        let first = types.first().copied().unwrap_or(Type::Any);
        if let (Function::Equals, [a, b], [_, right]) = (function, types.as_slice(), arguments)
            && a != b
            && *a != Type::Any
            && *b != Type::Any
        {
            return self.error(right.offset, b.describe(), a.describe());
        }
        let gives = match function.gives() {
            Gives::Bool => Type::Bool,
            Gives::List => Type::List,
            Gives::LikeFirst => first,
        };
        Ok((self.compile(function, nodes, arguments)?, gives))
    }

    /// A function of any number of strings.
    fn variadic(&self, offset: usize, function: Function, arguments: &[Syntax]) -> Checked {
        let lists = usize::from(function == Function::IsSubset);
        if arguments.len() <= lists {
            let found = if arguments.is_empty() { "none" } else { "one" };
            return self.error(offset, found, {
                let least = if lists == 0 { "one argument" } else { "two arguments" };
                format!("at least {least} of {}", function.name())
            });
        }
        let parameter = |at| if at < lists { Parameter::Texts } else { Parameter::Literal };
        let nodes = arguments.iter().enumerate().map(|(at, argument)| Ok(self.argument(argument, parameter(at))?.0));
        let gives = if function.gives() == Gives::Bool { Type::Bool } else { Type::List };
        Ok((Node::Call(function, nodes.collect::<Result<_, ParseError>>()?), gives))
    }

    fn argument(&self, argument: &Syntax, parameter: Parameter) -> Checked {
        let (node, kind) = self.check(argument)?;
        let literal = matches!(parameter, Parameter::Pattern | Parameter::Regex | Parameter::Literal);
        let entry = matches!(node, Node::Index { .. } | Node::Field(_));
        if !parameter.accepts(kind)
            || literal && !matches!(node, Node::Text(_))
            || parameter == Parameter::Entry && !entry
        {
            return self.error(argument.offset, kind.describe(), parameter.describe());
        }
        Ok((node, kind))
    }

    /// Compiles the patterns of the functions that have one.
    fn compile(&self, function: Function, nodes: Vec<Node>, arguments: &[Syntax]) -> Result<Node, ParseError> {
        let offset = |index: usize| arguments.get(index).map_or(0, |argument| argument.offset);
        let bad = |index, reason: String| self.error(offset(index), reason, "a regular expression");
        let mut nodes = nodes.into_iter();
        Ok(match (function, nodes.next(), nodes.next(), nodes.next()) {
            (Function::RegexMatch, Some(value), Some(Node::Text(pattern)), None) => match Pattern::new(&pattern) {
                Ok(pattern) => Node::Match(Box::new(value), pattern),
                Err(error) => return bad(1, error.to_string()),
            },
            (Function::RegexReplace, Some(value), Some(Node::Text(pattern)), Some(Node::Text(replacement))) => {
                match compile(&pattern) {
                    Ok(regex) => Node::Replace(Box::new(value), regex, replacement),
                    Err(error) => return bad(1, error.to_string()),
                }
            }
            (Function::LabelsMatching, Some(Node::Text(pattern)), None, None) => match Pattern::new(&pattern) {
                Ok(pattern) => Node::LabelsMatching(pattern),
                Err(error) => return bad(0, error.to_string()),
            },
            (function, first, second, third) => {
                Node::Call(function, [first, second, third].into_iter().flatten().collect())
            }
        })
    }
}
