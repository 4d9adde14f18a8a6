//! The little DER that keys and certificates need: a writer of definite-length values and a strict reader.

/// DER tags used here.
pub mod tag {
    #![allow(missing_docs, reason = "the names are those of X.680")]
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const BIT_STRING: u8 = 0x03;
    pub const OCTET_STRING: u8 = 0x04;
    pub const NULL: u8 = 0x05;
    pub const OID: u8 = 0x06;
    pub const ENUMERATED: u8 = 0x0a;
    pub const UTF8_STRING: u8 = 0x0c;
    pub const PRINTABLE_STRING: u8 = 0x13;
    pub const T61_STRING: u8 = 0x14;
    pub const IA5_STRING: u8 = 0x16;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const BMP_STRING: u8 = 0x1e;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
}

/// One value: tag, length, content.
pub fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len())..];
    match content.len() {
        short @ 0..=0x7f => out.push(short as u8),
        _ => {
            out.push(0x80 | significant.len() as u8);
            out.extend_from_slice(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A value whose content is other values.
pub fn constructed(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    value(tag, &parts.concat())
}

/// SEQUENCE of the parts.
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    constructed(tag::SEQUENCE, parts)
}

/// SET OF the parts, sorted as DER demands (X.690 §11.6).
pub fn set_of(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    value(tag::SET, &parts.concat())
}

/// A non-negative INTEGER from big-endian bytes.
pub fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let digits = &bytes[start..];
    let mut content = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.push(0);
    }
    content.extend_from_slice(digits);
    value(tag::INTEGER, &content)
}

/// BIT STRING with no unused bits.
pub fn bit_string(bytes: &[u8]) -> Vec<u8> {
    constructed(tag::BIT_STRING, &[&[0], bytes])
}

/// Strict reader over a run of DER values. Never panics, whatever the bytes.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

/// The bytes are not the DER that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the expected DER")]
pub struct Malformed;

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tag that comes next.
    pub fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next value: its tag, its content, and the whole of its bytes.
    ///
    /// # Errors
    /// [`Malformed`] for what is cut short, has an indefinite or padded length, or a tag number above 30.
    pub fn any(&mut self) -> Result<(u8, &'a [u8], &'a [u8]), Malformed> {
        let (tag, first) = match self.0 {
            [tag, first, ..] if tag & 0x1f != 0x1f => (*tag, *first),
            _ => return Err(Malformed),
        };
        let (header, length) = if first < 0x80 {
            (2, usize::from(first))
        } else {
            let octets = usize::from(first & 0x7f);
            let bytes = self.0.get(2..2 + octets).ok_or(Malformed)?;
            if octets == 0 || octets > 4 || bytes[0] == 0 || (octets == 1 && bytes[0] < 0x80) {
                return Err(Malformed);
            }
            (2 + octets, bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
        };
        let whole = self.0.get(..header.checked_add(length).ok_or(Malformed)?).ok_or(Malformed)?;
        self.0 = &self.0[whole.len()..];
        Ok((tag, &whole[header..], whole))
    }

    /// The content of the next value, which must have this tag.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.any()? {
            (found, content, _) if found == tag => Ok(content),
            _ => Err(Malformed),
        }
    }

    /// Goes into the next value, which must have this tag.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn enter(&mut self, tag: u8) -> Result<Reader<'a>, Malformed> {
        self.expect(tag).map(Reader)
    }

    /// A non-negative INTEGER, without its sign byte.
    ///
    /// # Errors
    /// [`Malformed`], also for a negative number.
    pub fn unsigned(&mut self) -> Result<&'a [u8], Malformed> {
        match self.expect(tag::INTEGER)? {
            [0, rest @ ..] if !rest.is_empty() => Ok(rest),
            all @ [first, ..] if first & 0x80 == 0 => Ok(all),
            _ => Err(Malformed),
        }
    }

    /// A BIT STRING with no unused bits.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn bit_string(&mut self) -> Result<&'a [u8], Malformed> {
        match self.expect(tag::BIT_STRING)? {
            [0, rest @ ..] => Ok(rest),
            _ => Err(Malformed),
        }
    }

    /// Insists that nothing is left.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn finish(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}
