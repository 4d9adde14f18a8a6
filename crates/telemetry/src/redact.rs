//! Keeping secrets out of what people and log collectors read.

use std::borrow::Cow;

/// What stands in place of a secret.
pub const REDACTED: &str = "<redacted>";

/// Whether a field of this name may hold a secret.
pub fn is_secret_field(name: &str) -> bool {
    crate::field::SECRET.contains(&name)
}

/// Masks a secret name for people who must recognise it: shorter than 16 characters it is asterisks only, else the
/// last quarter stays readable.
pub fn mask(secret: &str) -> String {
    let length = secret.chars().count();
    let shown = if length < 16 { 0 } else { length / 4 };
    secret.chars().enumerate().map(|(at, letter)| if at < length - shown { '*' } else { letter }).collect()
}

/// Cuts private keys in PEM out of a text. The last line of defence: nobody should have put one there.
pub fn scrub(text: &str) -> Cow<'_, str> {
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    const PRIVATE: &str = "PRIVATE KEY";

    if !text.contains(PRIVATE) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(start);
        clean.push_str(before);
        let label_end = block[BEGIN.len()..].find("-----").map_or(block.len(), |at| at + BEGIN.len());
        if !block[..label_end].contains(PRIVATE) {
            clean.push_str(&block[..BEGIN.len()]);
            rest = &block[BEGIN.len()..];
            continue;
        }
        clean.push_str(REDACTED);
        // A block without an end is cut to the end of the text: half a key is a key.
        rest = match block.find(END) {
            Some(end) => {
                let tail = &block[end + END.len()..];
                tail.find("-----").map_or("", |at| &tail[at + 5..])
            }
            None => "",
        };
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masking_shows_the_last_quarter_of_long_names_only() {
        for (secret, masked) in [
            ("", ""),
            ("short", "*****"),
            ("fifteen-letters", "***************"),
            ("0123456789abcdef", "************cdef"),
            ("äöüäöüäöüäöüäöüäöüäö", "***************äöüäö"),
        ] {
            assert_eq!(mask(secret), masked);
        }
    }

    #[test]
    fn private_keys_are_cut_out_and_certificates_stay() {
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        let key = "-----BEGIN EC PRIVATE KEY-----\nSECRET\n-----END EC PRIVATE KEY-----";
        assert_eq!(scrub(&format!("a {certificate} b {key} c")), format!("a {certificate} b {REDACTED} c"));
        assert_eq!(scrub("x -----BEGIN PRIVATE KEY-----\nSECR"), format!("x {REDACTED}"));
        assert_eq!(scrub("nothing here"), "nothing here");
    }
}
