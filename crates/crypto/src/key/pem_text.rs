//! PEM with `\n` line ends; a private key's text never exists outside a [`SecretString`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::SecretString;

/// Bytes in one line of PEM: 64 characters (RFC 7468 §2).
const LINE: usize = 48;

/// One PEM block.
pub fn encode(label: &str, der: &[u8]) -> String {
    let lines = der.len().div_ceil(LINE);
    // Exactly sized, so that a secret leaves no half-grown buffers behind.
    let mut text = String::with_capacity(2 * label.len() + 40 + lines * 65);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    for line in der.chunks(LINE) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// One PEM block with a private key.
pub fn encode_secret(label: &str, der: &[u8]) -> SecretString {
    SecretString::new(encode(label, der))
}
