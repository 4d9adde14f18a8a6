//! Names from outside: one table per kind, enforced when something is made, tolerated when it is read back.

use crate::{Error, Kind};

/// Which characters a name may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// `a-z`, `0-9`, `-`; begins and ends with a letter or digit.
    DnsLabel,
    /// Dot-separated labels of `a-z`, `A-Z`, `0-9`, `-`, `_`.
    HostName,
    /// Visible ASCII without `/` and `\`: no two names look the same.
    Ascii,
    /// Visible ASCII and inner spaces, `/` included.
    AsciiText,
    /// Any visible text in normal form C; no control, formatting or private characters, no `/` or `\`.
    Name,
    /// Any text without control characters.
    Text,
    /// Eight-four-four-four-twelve hexadecimal digits.
    Uuid,
}

/// The rule for one kind of name.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Fewest bytes.
    pub min: usize,
    /// Most bytes.
    pub max: usize,
    /// Which characters.
    pub alphabet: Alphabet,
}

const fn rule(min: usize, max: usize, alphabet: Alphabet) -> Rule {
    Rule { min, max, alphabet }
}

/// The key of a label.
pub const LABEL_KEY: Rule = rule(1, 256, Alphabet::AsciiText);
/// Free text: descriptions, messages, values of labels.
pub const TEXT: Rule = rule(0, 64 * 1024, Alphabet::Text);
/// A login or another principal: it ends up in certificates and in shells.
pub const PRINCIPAL: Rule = rule(1, 255, Alphabet::Name);
/// The name of a cluster.
pub const CLUSTER: Rule = rule(1, 255, Alphabet::HostName);
/// The name of a trait.
pub const TRAIT: Rule = rule(1, 255, Alphabet::Text);
/// A DNS name.
pub const DNS_NAME: Rule = rule(1, 253, Alphabet::HostName);
/// The id of a bot instance, host or lock.
pub const UUID: Rule = rule(36, 36, Alphabet::Uuid);

/// The rule for the names of a kind of resource.
#[must_use]
pub const fn of(kind: Kind) -> Rule {
    match kind {
        Kind::App => rule(1, 63, Alphabet::DnsLabel),
        Kind::AppServer => rule(1, 63, Alphabet::DnsLabel),
        Kind::BotInstance => UUID,
        Kind::CertAuthority | Kind::TrustedCluster | Kind::RemoteCluster => CLUSTER,
        // A bot's name becomes `bot-<name>`, a SPIFFE path and a file name.
        Kind::Bot => rule(1, 128, Alphabet::Ascii),
        // The name of a secret token is the secret: long, and compared byte by byte.
        Kind::Token => rule(1, 255, Alphabet::Ascii),
        Kind::Lock => rule(1, 128, Alphabet::Ascii),
        Kind::Role => rule(1, 255, Alphabet::Ascii),
        // User names come from identity providers too: `alice@example.com`, `Åsa`.
        Kind::User => rule(1, 255, Alphabet::Name),
        _ => rule(1, 255, Alphabet::Ascii),
    }
}

/// Checks the name of a new resource.
///
/// # Errors
/// When the name is too short or too long, or has a character that this kind does not allow.
pub fn check(kind: Kind, name: &str) -> Result<(), Error> {
    of(kind).check(&format!("the {kind} name"), name)
}

impl Rule {
    /// Checks one name; `what` says what it is the name of.
    ///
    /// # Errors
    /// When the name breaks the rule. The message never repeats a control character.
    pub fn check(&self, what: &str, name: &str) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::invalid(format!("{what} {why}")));
        if name.is_empty() && self.min > 0 {
            return refuse("must not be empty".into());
        }
        if name.len() < self.min || name.len() > self.max {
            return refuse(format!("must be {} to {} bytes long, found {}", self.min, self.max, name.len()));
        }
        if let Some((at, bad)) = name.char_indices().find(|(_, c)| !self.alphabet.allows(*c)) {
            return refuse(format!("must not contain {}, found at byte {at}", describe(bad)));
        }
        self.alphabet.whole(name).map_or_else(|why| refuse(why.to_owned()), Ok)
    }
}

impl Alphabet {
    fn allows(self, c: char) -> bool {
        match self {
            Self::DnsLabel => c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-',
            Self::HostName => c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'),
            Self::Ascii => c.is_ascii_graphic() && !matches!(c, '/' | '\\'),
            Self::AsciiText => c.is_ascii_graphic() || c == ' ',
            Self::Name => !is_invisible(c) && !matches!(c, '/' | '\\'),
            Self::Text => !c.is_control() || matches!(c, '\n' | '\t' | '\r'),
            Self::Uuid => c.is_ascii_hexdigit() || c == '-',
        }
    }

    /// What cannot be seen from single characters.
    fn whole(self, name: &str) -> Result<(), &'static str> {
        let edges = |bad: fn(char) -> bool| name.starts_with(bad) || name.ends_with(bad);
        match self {
            Self::DnsLabel if edges(|c| c == '-') => Err("must begin and end with a letter or a digit"),
            Self::HostName
                if name.split('.').any(|label| label.is_empty() || label.starts_with('-') || label.ends_with('-')) =>
            {
                Err("must be dot-separated labels that begin and end with a letter or a digit")
            }
            Self::Ascii | Self::Name if name == "." || name == ".." => Err("must not be \".\" or \"..\""),
            Self::Name | Self::AsciiText if edges(char::is_whitespace) => Err("must not begin or end with a space"),
            Self::Name if !unicode_normalization::is_nfc(name) => Err("must be in Unicode normal form C"),
            Self::Uuid if uuid::Uuid::try_parse(name).is_err() => Err("must be a UUID"),
            _ => Ok(()),
        }
    }
}

/// Characters that change how text looks or is ordered without being seen themselves, and those without meaning.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

fn describe(c: char) -> String {
    match c {
        '\0' => "a NUL character".into(),
        c if c.is_control() => format!("a control character (U+{:04X})", c as u32),
        ' ' => "a space".into(),
        c if is_invisible(c) => format!("the invisible character U+{:04X}", c as u32),
        c => format!("{c:?} (U+{:04X})", c as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_by_their_kind() {
        use Kind::{App, Bot, BotInstance, CertAuthority, Lock, Role, Token, User};
        let long = "x".repeat(1 << 20);
        let cases: &[(Kind, &str, bool)] = &[
            (Role, "access", true),
            (Role, "a b", false),
            (Role, "roles/x", false),
            (Role, "..", false),
            (Role, ".", false),
            (Role, "", false),
            (Role, &long, false),
            (Role, "a\0b", false),
            (Role, "a\nb", false),
            (Role, "аccess", false), // Cyrillic а
            (Role, "a\u{200b}", false),
            (User, "alice@example.com", true),
            (User, "Åsa", true),
            (User, "A\u{30a}sa", false), // not in normal form C
            (User, "a\u{202e}b", false),
            (User, " a", false),
            (User, "a/b", false),
            (User, "../a", false),
            (Bot, "ci-1", true),
            (Bot, "c\\i", false),
            (Token, "0123456789abcdef", true),
            (Token, "tök", false),
            (App, "grafana-1", true),
            (App, "Grafana", false),
            (App, &"x".repeat(64), false),
            (CertAuthority, "example.com", true),
            (CertAuthority, "example..com", false),
            (BotInstance, "0197a0ab-0000-7000-8000-000000000000", true),
            (BotInstance, "0197a0ab", false),
            (Lock, "any-name", true),
        ];
        for (kind, name, is_allowed) in cases {
            let judged = check(*kind, name);
            assert_eq!(
                judged.is_ok(),
                *is_allowed,
                "{kind} {:?}: {judged:?}",
                name.chars().take(20).collect::<String>()
            );
            if let Err(why) = judged {
                assert!(why.message.len() < 200 && !why.message.chars().any(char::is_control));
            }
        }
    }
}
