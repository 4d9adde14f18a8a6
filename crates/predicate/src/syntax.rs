//! The grammar: a Pratt parser from tokens to an untyped tree.
//!
//! ```text
//! expression = operand { ("||" | "&&" | "==" | "!=") operand }      weakest first; all associate to the left
//! operand    = "!" operand | "(" expression ")" | string | ["-"] number | "true" | "false" | path
//! path       = word { "." word } [ "(" [ expression { "," expression } ] ")" ] [ "[" expression "]" ]
//! ```

use crate::{
    error::ParseError,
    lexer::{Lexer, Token},
    limits::{MAX_DEPTH, MAX_HEIGHT, MAX_NODES, MAX_TEXT_BYTES},
};

/// A node and where it begins in the text.
#[derive(Debug, Clone)]
pub(crate) struct Syntax {
    pub(crate) offset: usize,
    height: usize,
    pub(crate) shape: Shape,
}

#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Text(String),
    Int(i64),
    Bool(bool),
    Path(Vec<String>),
    Index(Box<Syntax>, Box<Syntax>),
    Call(String, Vec<Syntax>),
    Not(Box<Syntax>),
    Binary(Operator, Box<Syntax>, Box<Syntax>),
}

impl Shape {
    fn parts(&self) -> impl Iterator<Item = &Syntax> {
        let (two, many): ([Option<&Syntax>; 2], &[Syntax]) = match self {
            Self::Text(_) | Self::Int(_) | Self::Bool(_) | Self::Path(_) => ([None, None], &[]),
            Self::Not(one) => ([Some(one), None], &[]),
            Self::Index(left, right) | Self::Binary(_, left, right) => ([Some(left), Some(right)], &[]),
            Self::Call(_, arguments) => ([None, None], arguments),
        };
        two.into_iter().flatten().chain(many)
    }
}

/// The operators between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
}

impl Operator {
    fn of(token: &Token) -> Option<(Self, u8)> {
        match token {
            Token::Mark("||") => Some((Self::Or, 1)),
            Token::Mark("&&") => Some((Self::And, 2)),
            Token::Mark("==") => Some((Self::Equal, 3)),
            Token::Mark("!=") => Some((Self::NotEqual, 3)),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }
}

/// Refuses a text that is too long to be looked at.
pub(crate) fn check_length(text: &str) -> Result<(), ParseError> {
    if text.len() <= MAX_TEXT_BYTES {
        return Ok(());
    }
    Err(ParseError::new(text, 0, format!("{} bytes", text.len()), format!("at most {MAX_TEXT_BYTES} bytes")))
}

/// Parses a whole text.
pub(crate) fn parse(text: &str) -> Result<Syntax, ParseError> {
    check_length(text)?;
    let mut parser = Parser::new(text, 0)?;
    let syntax = parser.expression(0, 0)?;
    match &parser.token {
        Token::End => Ok(syntax),
        _ => Err(parser.unexpected("an operator or the end of the text")),
    }
}

/// Parses an expression that begins at `offset` and is closed by `}}`. Returns it and the offset behind the braces.
pub(crate) fn parse_in_braces(text: &str, offset: usize) -> Result<(Syntax, usize), ParseError> {
    let mut parser = Parser::new(text, offset)?;
    let syntax = parser.expression(0, 0)?;
    match &parser.token {
        Token::Mark("}}") => Ok((syntax, parser.lexer.offset())),
        _ => Err(parser.unexpected("`}}`")),
    }
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    token: Token,
    offset: usize,
    nodes: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, offset: usize) -> Result<Self, ParseError> {
        let mut lexer = Lexer::new(text, offset);
        let (offset, token) = lexer.next()?;
        Ok(Self { text, lexer, token, offset, nodes: 0 })
    }

    fn unexpected(&self, expected: &str) -> ParseError {
        ParseError::new(self.text, self.offset, self.token.describe(), expected)
    }

    /// Goes to the next token and returns the one left behind.
    fn advance(&mut self) -> Result<Token, ParseError> {
        // The closing braces end what is ours; what follows is the template's and need not be a token.
        let (offset, token) = self.lexer.next()?;
        self.offset = offset;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn take(&mut self, mark: &'static str) -> Result<bool, ParseError> {
        let here = self.token == Token::Mark(mark);
        if here {
            self.advance()?;
        }
        Ok(here)
    }

    fn require(&mut self, mark: &'static str, expected: &str) -> Result<(), ParseError> {
        if self.take(mark)? { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn node(&mut self, offset: usize, shape: Shape) -> Result<Syntax, ParseError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            let expected = format!("an expression of at most {MAX_NODES} parts");
            return Err(ParseError::new(self.text, offset, "one more", expected));
        }
        // A chain of operators leans left: each link makes the tree one level higher, though the parser does not recurse.
        let height = shape.parts().map(|part| part.height).max().unwrap_or_default() + 1;
        if height > MAX_HEIGHT {
            let expected = format!("at most {MAX_HEIGHT} operators in a row (`contains` takes a list)");
            return Err(ParseError::new(self.text, offset, "one more", expected));
        }
        Ok(Syntax { offset, height, shape })
    }

    fn expression(&mut self, weakest: u8, depth: usize) -> Result<Syntax, ParseError> {
        if depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let mut left = self.operand(depth)?;
        while let Some((operator, strength)) = Operator::of(&self.token).filter(|(_, strength)| *strength > weakest) {
            let offset = self.offset;
            self.advance()?;
            let right = self.expression(strength, depth + 1)?;
            left = self.node(offset, Shape::Binary(operator, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn too_deep(&self) -> ParseError {
        self.unexpected(&format!("an expression nested at most {MAX_DEPTH} levels deep"))
    }

    fn operand(&mut self, depth: usize) -> Result<Syntax, ParseError> {
        let offset = self.offset;
        let shape = match &self.token {
            Token::Mark("!") => {
                self.advance()?;
                if depth >= MAX_DEPTH {
                    return Err(self.too_deep());
                }
                Shape::Not(Box::new(self.operand(depth + 1)?))
            }
            Token::Mark("(") => {
                self.advance()?;
                let inner = self.expression(0, depth + 1)?;
                self.require(")", "an operator or `)`")?;
                return Ok(inner);
            }
            Token::Mark("-") => {
                self.advance()?;
                let Token::Int(number) = self.token else { return Err(self.unexpected("a number")) };
                self.advance()?;
                Shape::Int(-number)
            }
            Token::Text(_) | Token::Int(_) => match self.advance()? {
                Token::Text(text) => Shape::Text(text),
                Token::Int(number) => Shape::Int(number),
                _ => return Err(self.unexpected("a string or a number")),
            },
            Token::Word(word) if word == "true" || word == "false" => {
                let value = word == "true";
                self.advance()?;
                Shape::Bool(value)
            }
            Token::Word(_) => return self.path(depth),
            _ => return Err(self.unexpected("a field, a function, a string, `!` or `(`")),
        };
        self.node(offset, shape)
    }

    fn word(&mut self) -> Result<String, ParseError> {
        if !matches!(self.token, Token::Word(_)) {
            return Err(self.unexpected("a name"));
        }
        match self.advance()? {
            Token::Word(word) => Ok(word),
            _ => Err(self.unexpected("a name")),
        }
    }

    fn path(&mut self, depth: usize) -> Result<Syntax, ParseError> {
        let offset = self.offset;
        let mut segments = vec![self.word()?];
        while self.take(".")? {
            segments.push(self.word()?);
        }
        let mut syntax = if self.take("(")? {
            let arguments = self.arguments(depth)?;
            self.node(offset, Shape::Call(segments.join("."), arguments))?
        } else {
            self.node(offset, Shape::Path(segments))?
        };
        if self.take("[")? {
            let key = self.expression(0, depth + 1)?;
            self.require("]", "`]`")?;
            syntax = self.node(offset, Shape::Index(Box::new(syntax), Box::new(key)))?;
        }
        Ok(syntax)
    }

    fn arguments(&mut self, depth: usize) -> Result<Vec<Syntax>, ParseError> {
        let mut arguments = Vec::new();
        if self.take(")")? {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression(0, depth + 1)?);
            if self.take(")")? {
                return Ok(arguments);
            }
            self.require(",", "`,` or `)`")?;
        }
    }
}
