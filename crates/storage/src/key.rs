//! Keys: tuples whose byte form sorts like the tuple.

use std::borrow::Cow;
use std::fmt;

/// First byte of every encoded key: the format of what follows.
const FORMAT: u8 = 1;
/// Ends every component but the last.
const END: u8 = 0;
/// Introduces an escaped byte, so that a component never contains [`END`].
const ESCAPE: u8 = 1;

/// The name of an item: scope (empty today), kind, sub-kind (may be empty) and name. Ordered as its bytes are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    scope: String,
    kind: Cow<'static, str>,
    sub_kind: String,
    name: String,
}

impl Key {
    /// A key of a kind without sub-kinds.
    pub fn new(kind: impl Into<Cow<'static, str>>, name: impl Into<String>) -> Self {
        Self::with_sub(kind, String::new(), name)
    }

    /// A key below a sub-kind: a type of certificate authority, or the bot that an instance belongs to.
    pub fn with_sub(kind: impl Into<Cow<'static, str>>, sub_kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { scope: String::new(), kind: kind.into(), sub_kind: sub_kind.into(), name: name.into() }
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The sub-kind, empty for most kinds.
    pub fn sub_kind(&self) -> &str {
        &self.sub_kind
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The order-preserving bytes, for adapters.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size() + 4);
        bytes.push(FORMAT);
        component(&mut bytes, &self.scope);
        component(&mut bytes, &self.kind);
        component(&mut bytes, &self.sub_kind);
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }

    /// Reads what [`Key::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&FORMAT, rest) = bytes.split_first()? else { return None };
        let mut parts = rest.splitn(4, |byte| *byte == END);
        let (scope, kind, sub_kind) = (read(parts.next()?)?, read(parts.next()?)?, read(parts.next()?)?);
        let name = String::from_utf8(parts.next()?.to_vec()).ok()?;
        Some(Self { scope, kind: Cow::Owned(kind), sub_kind, name })
    }

    /// Bytes of all components, for limits.
    pub(crate) fn size(&self) -> usize {
        self.scope.len() + self.kind.len() + self.sub_kind.len() + self.name.len()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.sub_kind.is_empty() {
            write!(f, "/{}", self.sub_kind.escape_debug())?;
        }
        write!(f, "/{}", self.name.escape_debug())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// A run of neighbouring keys: everything, a kind, a sub-kind of it, or the names in it that begin alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefix {
    kind: Option<Cow<'static, str>>,
    sub_kind: Option<String>,
    name: String,
}

impl Prefix {
    /// Every key.
    pub fn all() -> Self {
        Self::default()
    }

    /// Every key of a kind, in all its sub-kinds.
    pub fn kind(kind: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: Some(kind.into()), ..Self::default() }
    }

    /// Every key of a kind and sub-kind (the empty sub-kind for kinds that have none).
    pub fn sub(kind: impl Into<Cow<'static, str>>, sub_kind: impl Into<String>) -> Self {
        Self { kind: Some(kind.into()), sub_kind: Some(sub_kind.into()), name: String::new() }
    }

    /// The keys of a kind and sub-kind whose name begins with `name`.
    pub fn names(kind: impl Into<Cow<'static, str>>, sub_kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: Some(kind.into()), sub_kind: Some(sub_kind.into()), name: name.into() }
    }

    /// Whether a key lies in this run.
    pub fn contains(&self, key: &Key) -> bool {
        let Some(kind) = &self.kind else { return true };
        let Some(sub_kind) = &self.sub_kind else { return key.scope.is_empty() && *kind == key.kind };
        key.scope.is_empty() && *kind == key.kind && *sub_kind == key.sub_kind && key.name.starts_with(&self.name)
    }

    /// A key before which nothing of this run lies.
    pub(crate) fn first(&self) -> Key {
        let kind = self.kind.clone().unwrap_or_default();
        Key::with_sub(kind, self.sub_kind.clone().unwrap_or_default(), self.name.clone())
    }

    /// The first encoded key of the run and the first one after it, for adapters.
    pub fn bounds(&self) -> (Vec<u8>, Vec<u8>) {
        let mut start = vec![FORMAT];
        if let Some(kind) = &self.kind {
            component(&mut start, "");
            component(&mut start, kind);
            if let Some(sub_kind) = &self.sub_kind {
                component(&mut start, sub_kind);
                start.extend_from_slice(self.name.as_bytes());
            }
        }
        let end = successor(&start);
        (start, end)
    }
}

/// The first byte string after all that begin with `prefix`; the format byte is small, so there always is one.
fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

fn component(bytes: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        if byte <= ESCAPE {
            bytes.extend_from_slice(&[ESCAPE, byte + 1]);
        } else {
            bytes.push(byte);
        }
    }
    bytes.push(END);
}

fn read(bytes: &[u8]) -> Option<String> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut bytes = bytes.iter();
    while let Some(&byte) = bytes.next() {
        text.push(if byte == ESCAPE { bytes.next()?.checked_sub(1)? } else { byte });
    }
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = Key> {
        let part =
            || proptest::string::string_regex("[\\x00\\x01\\x02ab\u{ff}\u{10ffff}]{0,3}").expect("a valid pattern");
        (part(), part(), part()).prop_map(|(kind, sub, name)| Key::with_sub(kind, sub, name))
    }

    proptest! {
        #[test]
        fn bytes_sort_like_keys(a in key(), b in key()) {
            prop_assert_eq!(a.cmp(&b), a.encode().cmp(&b.encode()));
        }

        #[test]
        fn bytes_read_back(a in key()) {
            prop_assert_eq!(Key::decode(&a.encode()), Some(a));
        }

        #[test]
        fn a_prefix_and_its_bounds_agree(a in key(), b in key()) {
            for prefix in [
                Prefix::all(),
                Prefix::kind(b.kind.clone()),
                Prefix::sub(b.kind.clone(), b.sub_kind.clone()),
                Prefix::names(b.kind.clone(), b.sub_kind.clone(), b.name.clone()),
            ] {
                let (start, end) = prefix.bounds();
                let bytes = a.encode();
                prop_assert_eq!(prefix.contains(&a), start <= bytes && bytes < end);
                prop_assert!(prefix.contains(&b));
            }
        }

        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..32)) {
            if let Some(key) = Key::decode(&bytes) {
                prop_assert_eq!(key.encode(), bytes);
            }
        }
    }
}
