use proptest::prelude::*;

use crate::{Random, Secret, SecretBytes, SecretString, aead, hash};

#[test]
fn a_seed_fixes_the_bytes_and_clones_share_the_sequence() {
    let (a, b) = (Random::seeded(7), Random::seeded(7));
    let clone = a.clone();
    assert_eq!((a.bytes::<40>(), clone.uuid()), (b.bytes::<40>(), b.uuid()));
    assert_ne!(Random::seeded(8).bytes::<16>(), Random::seeded(7).bytes::<16>());
    assert_ne!(Random::system().bytes::<16>(), Random::system().bytes::<16>());
    assert_eq!(Random::system().uuid().get_version_num(), 4);
    assert_eq!(Random::seeded(1).hex(8).len(), 16);
    let (early, late) = ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-01-01T00:00:00.001Z".parse().unwrap());
    assert!(a.uuid_v7(early) < a.uuid_v7(late));
    assert_eq!(a.uuid_v7(early).get_version_num(), 7);
    assert!((0..200).all(|_| a.below(3) < 3) && a.below(0) == 0);
}

#[test]
fn secrets_do_not_show() {
    let secret = SecretString::from("hunter2");
    assert_eq!(
        format!("{secret:?} {:?}", Secret::new(vec![SecretBytes::default().expose().len()])),
        "[redacted] [redacted]"
    );
    assert!(secret == SecretString::from("hunter2") && secret != SecretString::from("hunter3"));
}

#[test]
fn known_digests() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!((hash::sha256_hex(b""), hash::hex(&hash::sha256_parts(&[b"", b""]))), (empty.into(), empty.into()));
    // RFC 4231, case 2.
    let tag = hash::hmac_sha256(b"Jefe", b"what do ya want for nothing?");
    assert_eq!(hash::hex(&tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    assert!(
        hash::constant_time_eq(b"a", b"a") && !hash::constant_time_eq(b"a", b"b") && !hash::constant_time_eq(b"a", b"")
    );
}

proptest! {
    #[test]
    fn sealed_data_opens_with_its_key_and_purpose_only(plain in proptest::collection::vec(any::<u8>(), 0..100), flip in any::<usize>()) {
        let key = aead::Key::new(&[1; 32]);
        let (nonce, sealed) = key.seal(&Random::seeded(1), b"purpose", &plain);
        let opened = key.open(&nonce, b"purpose", &sealed).unwrap();
        prop_assert_eq!(opened.expose(), &plain);
        prop_assert!(key.open(&nonce, b"other", &sealed).is_err());
        prop_assert!(aead::Key::new(&[2; 32]).open(&nonce, b"purpose", &sealed).is_err());
        let mut changed = sealed.clone();
        changed[flip % sealed.len()] ^= 1;
        prop_assert!(key.open(&nonce, b"purpose", &changed).is_err());
    }
}
