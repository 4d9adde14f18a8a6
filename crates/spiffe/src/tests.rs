use proptest::prelude::*;

use crate::{Error, SpiffeId, TrustDomain};

#[test]
fn the_rules_of_the_standard() {
    let long_domain = "d".repeat(255);
    let too_long_domain = format!("spiffe://{}", "d".repeat(256));
    let fits = format!("spiffe://td/{}", "p".repeat(2048 - 12));
    let too_long = format!("{fits}p");
    let cases: &[(&str, Result<&str, Error>)] = &[
        ("spiffe://td", Ok("spiffe://td")),
        ("spiffe://td/a/B-._9", Ok("spiffe://td/a/B-._9")),
        ("SPIFFE://td/a", Ok("spiffe://td/a")),
        ("spiffe://1.2.3.4/a", Ok("spiffe://1.2.3.4/a")),
        ("spiffe://a_b/...", Ok("spiffe://a_b/...")),
        (&format!("spiffe://{long_domain}"), Ok(&format!("spiffe://{long_domain}"))),
        (&fits, Ok(&fits)),
        ("", Err(Error::Empty)),
        ("http://td/a", Err(Error::Scheme)),
        ("td/a", Err(Error::Scheme)),
        ("spiffe:/td", Err(Error::Scheme)),
        ("spiffé://td", Err(Error::Scheme)),
        ("spiffe:///a", Err(Error::NoTrustDomain)),
        ("spiffe://", Err(Error::NoTrustDomain)),
        ("spiffe://TD/a", Err(Error::TrustDomainCharacter)),
        ("spiffe://td:", Err(Error::TrustDomainCharacter)),
        ("spiffe://td:443/a", Err(Error::TrustDomainCharacter)),
        ("spiffe://u@td/a", Err(Error::TrustDomainCharacter)),
        ("spiffe://u:p@td/a", Err(Error::TrustDomainCharacter)),
        ("spiffe://%41/a", Err(Error::TrustDomainCharacter)),
        ("spiffe://[::1]/a", Err(Error::TrustDomainCharacter)),
        ("spiffe://td?x=1", Err(Error::TrustDomainCharacter)),
        ("spiffe://tdé/a", Err(Error::TrustDomainCharacter)),
        (&too_long_domain, Err(Error::TrustDomainTooLong)),
        ("spiffe://td/", Err(Error::EmptySegment)),
        ("spiffe://td//", Err(Error::EmptySegment)),
        ("spiffe://td/a//b", Err(Error::EmptySegment)),
        ("spiffe://td/a/", Err(Error::EmptySegment)),
        ("spiffe://td/./a", Err(Error::DotSegment)),
        ("spiffe://td/a/..", Err(Error::DotSegment)),
        ("spiffe://td/a?", Err(Error::PathCharacter)),
        ("spiffe://td/a#", Err(Error::PathCharacter)),
        ("spiffe://td/%2f", Err(Error::PathCharacter)),
        ("spiffe://td/a b", Err(Error::PathCharacter)),
        ("spiffe://td/~", Err(Error::PathCharacter)),
        ("spiffe://td/é", Err(Error::PathCharacter)),
        (&too_long, Err(Error::TooLong)),
    ];
    for (text, expected) in cases {
        let found = SpiffeId::parse(text).map(|id| id.to_string());
        assert_eq!(found.as_deref().map_err(|error| *error), *expected, "{text}");
    }
}

#[test]
fn an_id_is_made_from_its_parts_with_the_same_rules() {
    let domain = TrustDomain::parse("example.org").unwrap();
    assert_eq!(domain.with_path("/ns/a").unwrap().to_string(), "spiffe://example.org/ns/a");
    assert_eq!(domain.with_path("ns"), Err(Error::PathStart));
    assert_eq!(domain.with_path("/"), Err(Error::EmptySegment));
    assert_eq!(domain.with_path(&format!("/{}", "p".repeat(2048))), Err(Error::TooLong));
    assert!(!domain.id().has_path());
}

proptest! {
    #[test]
    fn what_is_accepted_prints_as_it_was_read(text in "spiffe://[a-z0-9._:@%-]{0,8}(/[A-Za-z0-9._~%?-]{0,4}){0,4}") {
        if let Ok(id) = SpiffeId::parse(&text) {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn any_text_is_judged_without_panic(text in any::<String>()) {
        let _ = SpiffeId::parse(&text);
        let _ = SpiffeId::parse(&format!("spiffe://{text}"));
    }
}
