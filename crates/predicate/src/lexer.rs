//! Cuts a text into tokens.

use crate::error::ParseError;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    Word(String),
    Text(String),
    Int(i64),
    /// An operator or a punctuation mark.
    Mark(&'static str),
    End,
}

impl Token {
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Word(word) => format!("`{word}`"),
            Self::Text(text) => format!("the string {text:?}"),
            Self::Int(number) => format!("the number {number}"),
            Self::Mark(mark) => format!("`{mark}`"),
            Self::End => "the end of the text".to_owned(),
        }
    }
}

/// Longer marks first: the first that fits is taken.
const MARKS: [&str; 13] = ["&&", "||", "==", "!=", "}}", "!", "(", ")", "[", "]", ",", ".", "-"];

/// Reads tokens from an offset of a text on.
#[derive(Debug, Clone)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// Where the next token is looked for.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next token, and where it begins.
    pub(crate) fn next(&mut self) -> Result<(usize, Token), ParseError> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        let start = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok((start, Token::End)) };
        if matches!(first, '"' | '\'' | '`') {
            return Ok((start, Token::Text(self.string(first)?)));
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let word = take_while(rest, |c| c.is_ascii_alphanumeric() || c == '_');
            self.at += word.len();
            return Ok((start, Token::Word(word.to_owned())));
        }
        if first.is_ascii_digit() {
            let digits = take_while(rest, |c| c.is_ascii_digit());
            self.at += digits.len();
            let number = digits
                .parse()
                .map_err(|_| ParseError::new(self.text, start, "a longer number", "a number of at most 18 digits"))?;
            return Ok((start, Token::Int(number)));
        }
        if let Some(mark) = MARKS.into_iter().find(|mark| rest.starts_with(mark)) {
            self.at += mark.len();
            return Ok((start, Token::Mark(mark)));
        }
        let expected = match first {
            '&' => "`&&`",
            '|' => "`||`",
            '=' => "`==`",
            _ => "a name, a string, a number or an operator",
        };
        Err(ParseError::new(self.text, start, format!("`{first}`"), expected))
    }

    /// A string in double or single quotes with escapes, or in backticks without.
    fn string(&mut self, quote: char) -> Result<String, ParseError> {
        let start = self.at;
        let mut value = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((index, c)) = chars.next() {
            if c == quote {
                self.at = start + index + 1;
                return Ok(value);
            }
            if c != '\\' || quote == '`' {
                value.push(c);
                continue;
            }
            value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, 't')) => '\t',
                Some((_, 'r')) => '\r',
                Some((_, c @ ('\\' | '"' | '\'' | '`'))) => c,
                other => {
                    let found = other.map_or("the end of the text".to_owned(), |(_, c)| format!("`\\{c}`"));
                    let expected = r#"one of \\ \" \' \n \r \t (or write the string in backticks)"#;
                    return Err(ParseError::new(self.text, start + index, found, expected));
                }
            });
        }
        Err(ParseError::new(self.text, self.text.len(), "the end of the text", format!("a closing {quote}")))
    }
}

fn take_while(text: &str, keep: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}
