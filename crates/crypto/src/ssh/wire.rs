//! The data types of the SSH wire (RFC 4251 §5).

use crate::key::KeyError;

/// Reads SSH data types. Never panics, whatever the bytes.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.0.len()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], KeyError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(KeyError::Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    /// `byte`
    ///
    /// # Errors
    /// Cut short.
    pub fn u8(&mut self) -> Result<u8, KeyError> {
        self.take().map(u8::from_be_bytes)
    }

    /// `uint32`
    ///
    /// # Errors
    /// Cut short.
    pub fn u32(&mut self) -> Result<u32, KeyError> {
        self.take().map(u32::from_be_bytes)
    }

    /// `uint64`
    ///
    /// # Errors
    /// Cut short.
    pub fn u64(&mut self) -> Result<u64, KeyError> {
        self.take().map(u64::from_be_bytes)
    }

    /// `string`: bytes with a length before them.
    ///
    /// # Errors
    /// Cut short.
    pub fn string(&mut self) -> Result<&'a [u8], KeyError> {
        let length = usize::try_from(self.u32()?).map_err(|_| KeyError::Malformed)?;
        let (head, rest) = self.0.split_at_checked(length).ok_or(KeyError::Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    /// A `string` that is text.
    ///
    /// # Errors
    /// Cut short, or not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, KeyError> {
        std::str::from_utf8(self.string()?).map_err(|_| KeyError::Malformed)
    }

    /// A non-negative `mpint`, without the zero that says so.
    ///
    /// # Errors
    /// Cut short, negative, or longer than it must be (RFC 4251 §5): a key has one encoding, and lists go by it.
    pub fn mpint(&mut self) -> Result<&'a [u8], KeyError> {
        let is_large = |byte: &u8| byte & 0x80 != 0;
        match self.string()? {
            [0, digits @ ..] if digits.first().is_some_and(is_large) => Ok(digits),
            [0, ..] => Err(KeyError::Malformed),
            [first, ..] if is_large(first) => Err(KeyError::Malformed),
            digits => Ok(digits),
        }
    }

    /// What is left, as it stands.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Insists that nothing is left.
    ///
    /// # Errors
    /// Something is.
    pub fn finish(self) -> Result<(), KeyError> {
        if self.is_empty() { Ok(()) } else { Err(KeyError::Malformed) }
    }
}

/// Writes SSH data types.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// `uint32`
    pub fn u32(&mut self, number: u32) {
        self.raw(&number.to_be_bytes());
    }

    /// `uint64`
    pub fn u64(&mut self, number: u64) {
        self.raw(&number.to_be_bytes());
    }

    /// `string`
    ///
    /// # Panics
    /// Above 4 GiB.
    pub fn string(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.raw(bytes);
    }

    /// A non-negative `mpint` from big-endian bytes.
    pub fn mpint(&mut self, number: &[u8]) {
        let digits = &number[number.iter().position(|byte| *byte != 0).unwrap_or(number.len())..];
        let sign = digits.first().is_some_and(|byte| byte & 0x80 != 0);
        self.length(digits.len() + usize::from(sign));
        if sign {
            self.0.push(0);
        }
        self.raw(digits);
    }

    fn length(&mut self, length: usize) {
        #[allow(clippy::expect_used, reason = "everything that is written here was bounded long before")]
        self.u32(u32::try_from(length).expect("an SSH string is shorter than 4 GiB"));
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
