//! The bytes to be signed, fixed: whoever changes an encoding sees it here.
//!
//! Keys are committed (they guard nothing), randomness is seeded, the clock stands still. Signatures are checked apart,
//! since ECDSA's are never the same twice. `UPDATE_GOLDEN=1 cargo test -p ca` rewrites the files.

use std::path::Path;

use crypto::{KeyPair, Random};
use domain::ca::CaType;
use keystore::{KeyKind, KeyStore as _, KeyUse};

use super::{CLUSTER, World, identity, later, now};
use crate::authority::{add_key, ssh_signer, tls_signer};
use crate::x509::AlternativeNames;
use crate::{ssh, x509};

fn golden(name: &str, bytes: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let text: String = bytes.chunks(32).map(|line| crypto::hash::hex(line) + "\n").collect();
    #[allow(clippy::disallowed_methods, reason = "a switch for the person who runs the tests")]
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(text, expected, "{name} has changed");
}

#[tokio::test]
async fn the_bytes_to_be_signed_are_as_committed() {
    let world = World::new();
    let key = |seed: u8| KeyPair::from_ed25519_seed(&[seed; 32]).unwrap();
    let mut ca = domain::resources::cert_authority::CertAuthority::empty(CaType::User, CLUSTER);
    let random = Random::seeded(42);
    for (seed, kind) in [(1, KeyKind::Tls), (2, KeyKind::Ssh)] {
        let stored = world.keys.import(&key(seed), KeyUse::Authority(CaType::User, kind)).await.unwrap();
        add_key(&mut ca.spec.active_keys, CaType::User, CLUSTER, &stored, &world.keys, now(), &random).await.unwrap();
    }
    let (tls, ssh_key) = (tls_signer(&ca).unwrap(), ssh_signer(&ca).unwrap());
    golden("authority.hex", tls.certificate.signed_bytes());

    let subject = key(3).public().clone();
    let user = x509::user_template(&identity(), subject.clone(), now(), later(3600));
    let tbs = x509::to_be_signed(&user, &tls, &Random::seeded(43)).unwrap();
    golden("user-x509.hex", &tbs);
    let issued = x509::issue(&user, &tls, &world.keys, &Random::seeded(43)).await.unwrap();
    assert_eq!(issued.signed_bytes(), tbs);
    assert_eq!(crypto::x509::Certificate::from_der(issued.der()).unwrap(), issued);
    issued.verify_signed_by(&tls.certificate).unwrap();

    let names = AlternativeNames::from_hosts(["teleport.cluster.local", "10.0.0.1", "::1"]);
    let host = x509::host_template(&identity(), subject.clone(), names, now(), later(50 * 365 * 24 * 3600 / 10));
    golden("host-x509.hex", &x509::to_be_signed(&host, &tls, &Random::seeded(44)).unwrap());

    let user = ssh::user_template(&identity(), subject, now(), later(3600), &Random::seeded(45));
    let body = ssh::to_be_signed(&user, &ssh_key, &Random::seeded(46)).unwrap();
    golden("user-ssh.hex", &body);
    let issued = ssh::issue(&user, &ssh_key, &world.keys, &Random::seeded(46)).await.unwrap();
    assert_eq!(issued.signed_bytes(), body);
    issued.verify().unwrap();
}
