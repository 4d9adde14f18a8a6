//! Small texts: SPIFFE IDs, names, times, spans, sealing keys.

use crypto::SecretString;
use domain::{Kind, form, names, role::SystemRole};
use spiffe::{SpiffeId, TrustDomain};

use crate::text;

/// SPIFFE IDs and trust domains.
pub fn spiffe_ids(data: &[u8]) {
    let text = text(data);
    if let Ok(id) = SpiffeId::parse(&text) {
        assert_eq!(SpiffeId::parse(&id.to_string()), Ok(id.clone()));
        assert!(id.to_string().eq_ignore_ascii_case(&text), "only the scheme may be spelt otherwise");
        assert_eq!(id.to_string()[9..], text[9..]);
    }
    if let Ok(domain) = TrustDomain::parse(&text) {
        assert_eq!(TrustDomain::parse(domain.as_str()), Ok(domain.clone()));
        let _ = domain.with_path(&text);
    }
    let _ = spiffe::check_path(&text);
}

/// Names of every kind, times, spans, roles, sealing keys.
pub fn small_texts(data: &[u8]) {
    let text = text(data);
    for kind in [Kind::Role, Kind::User, Kind::Bot, Kind::BotInstance, Kind::App, Kind::Token, Kind::CertAuthority] {
        match names::check(kind, &text) {
            Ok(()) => assert!(!text.contains(['/', '\0', '\n'])),
            Err(error) => {
                assert!(!error.message.chars().any(char::is_control), "a message repeats a control character")
            }
        }
    }
    let _ = (Kind::parse(&text), SystemRole::parse(&text));
    if let Ok(span) = form::duration::parse(&text) {
        assert_eq!(form::duration::parse(&form::duration::format(span)), Ok(span));
    }
    if let Ok(time) = form::time::parse(&text) {
        assert_eq!(form::time::parse(&form::time::format(time)), Ok(time));
    }
    if let Ok(key) = keystore::SealingKey::parse(&SecretString::new(text.into_owned())) {
        assert_eq!(key.id().len(), 16);
    }
}
