//! Digests, and comparison that does not tell where two values differ.

use aws_lc_rs::digest;

/// SHA-256.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    sha256_parts(&[data])
}

/// SHA-256 over the parts, one after the other, as if they were one text.
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut sum = [0; 32];
    sum.copy_from_slice(context.finish().as_ref());
    sum
}

/// Lower-case hex of SHA-256.
pub fn sha256_hex(data: &[u8]) -> String {
    hex(&sha256(data))
}

/// Lower-case hex.
pub fn hex(data: &[u8]) -> String {
    hex::encode(data)
}

/// HMAC with SHA-256.
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
    let mut tag = [0; 32];
    tag.copy_from_slice(aws_lc_rs::hmac::sign(&key, data).as_ref());
    tag
}

/// What a server answers to a `Sec-WebSocket-Key` (RFC 6455 §4.2.2): SHA-1, which is safe for this, because it shows that
/// a server understands WebSockets and nothing more. There is no other SHA-1 in the program.
pub fn websocket_accept(key: &str) -> [u8; 20] {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut sum = [0; 20];
    sum.copy_from_slice(context.finish().as_ref());
    sum
}

/// Compares in time that depends on the lengths only: for tokens, digests of tokens, MACs.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
