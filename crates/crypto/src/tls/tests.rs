use std::io::{Read as _, Write as _};
use std::process::Command;
use std::slice::from_ref;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use clock::{ManualClock, Timestamp};
use rustls::client::Resumption;
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, HandshakeKind, ServerConnection};

use super::{
    ALPN_H2, AUTH_SERVER_NAME, AuthenticatorError, CertificateChain, ClientAuth, ClientOptions, ClockTime, Exported,
    ServerCertificate, Trust, TrustedClients, auth_alpn, client_config, provider, root_store, server_config,
};
use crate::KeyPair;
use crate::hash::{hmac_sha256, sha256_parts};
use crate::x509::Certificate;

/// Two authorities of the same name (as the user and host CAs of a cluster are), and certificates of each.
struct Pki {
    host_ca: Certificate,
    user_ca: Certificate,
    server: CertificateChain,
    user: CertificateChain,
    server_leaf: Certificate,
}

static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &str| {
        let output =
            Command::new("openssl").current_dir(dir.path()).args(arguments.split_whitespace()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let certificate =
        |name: &str| Certificate::from_pem(&std::fs::read_to_string(dir.path().join(name)).unwrap()).unwrap();
    let key = |name: &str| KeyPair::from_pem(&std::fs::read_to_string(dir.path().join(name)).unwrap()).unwrap();
    std::fs::write(dir.path().join("ext"), "subjectAltName=DNS:teleport.cluster.local,DNS:*.teleport.cluster.local\nextendedKeyUsage=serverAuth,clientAuth\n").unwrap();
    for name in ["host", "user"] {
        run(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.pem -subj /O=c/CN=c -days 10"
        ));
        run(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}-leaf.key -out csr -subj /CN={name}"
        ));
        run(&format!("x509 -req -in csr -CA {name}.pem -CAkey {name}.key -days 1 -extfile ext -out {name}-leaf.pem"));
    }
    let (host_ca, user_ca) = (certificate("host.pem"), certificate("user.pem"));
    let server_leaf = certificate("host-leaf.pem");
    let chain = [server_leaf.clone(), host_ca.clone()];
    Pki {
        server: CertificateChain::new(&chain, &key("host-leaf.key")).unwrap(),
        user: CertificateChain::new(&[certificate("user-leaf.pem")], &key("user-leaf.key")).unwrap(),
        host_ca,
        user_ca,
        server_leaf,
    }
});

/// Shakes hands in memory and sends one byte each way; gives the client's certificate as the server saw it.
fn shake(
    server: &Arc<rustls::ServerConfig>,
    client: &Arc<rustls::ClientConfig>,
    name: &str,
) -> Result<(Option<Vec<u8>>, ServerConnection, ClientConnection), rustls::Error> {
    let mut server = ServerConnection::new(Arc::clone(server))?;
    let mut client = ClientConnection::new(Arc::clone(client), name.to_owned().try_into().unwrap())?;
    client.writer().write_all(b"q").unwrap();
    server.writer().write_all(b"a").unwrap();
    for _ in 0..20 {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &wire[..]).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &wire[..]).unwrap();
        client.process_new_packets()?;
    }
    assert!(!server.is_handshaking() && !client.is_handshaking());
    let mut answer = [0];
    assert_eq!((client.reader().read(&mut answer).unwrap(), answer), (1, *b"a"));
    let peer = server.peer_certificates().and_then(|chain| chain.first()).map(|der| der.to_vec());
    Ok((peer, server, client))
}

fn clock() -> ManualClock {
    ManualClock::new(PKI.server_leaf.not_before().checked_add(Duration::from_secs(3600)).unwrap())
}

fn server(trusted: &Arc<TrustedClients>, clock: &ManualClock) -> Arc<rustls::ServerConfig> {
    let certificate = ServerCertificate::new(PKI.server.clone());
    server_config(certificate, ClientAuth::Optional(Arc::clone(trusted)), &[ALPN_H2], &clock.clock()).unwrap()
}

fn client(trust: Trust, certificate: Option<CertificateChain>, clock: &ManualClock) -> Arc<rustls::ClientConfig> {
    let alpn = vec![auth_alpn("c"), ALPN_H2.to_vec()];
    client_config(ClientOptions { trust, certificate, alpn }, &clock.clock()).unwrap()
}

fn roots() -> Trust {
    Trust::Roots(vec![PKI.user_ca.clone(), PKI.host_ca.clone()])
}

#[test]
fn a_client_is_known_by_its_certificate_or_is_anonymous() {
    let clock = clock();
    let trusted = TrustedClients::new(&[PKI.host_ca.clone(), PKI.user_ca.clone()]).unwrap();
    let server = server(&trusted, &clock);
    let known = client(roots(), Some(PKI.user.clone()), &clock);
    let (peer, connection, _) = shake(&server, &known, AUTH_SERVER_NAME).unwrap();
    assert_eq!(Certificate::from_der(&peer.unwrap()).unwrap().common_name(), Some("user"));
    assert_eq!(connection.alpn_protocol(), Some(ALPN_H2));
    assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    assert_eq!(suite, Some(rustls::CipherSuite::TLS13_AES_128_GCM_SHA256), "the one that costs least");
    let (peer, ..) = shake(&server, &client(roots(), None, &clock), "x.teleport.cluster.local").unwrap();
    assert_eq!(peer, None);
    assert!(shake(&server, &client(roots(), None, &clock), "elsewhere.example").is_err());
}

#[test]
fn a_foreign_or_expired_certificate_ends_the_handshake_and_a_removed_authority_counts_at_once() {
    let clock = clock();
    let trusted = TrustedClients::new(from_ref(&PKI.host_ca)).unwrap();
    let server = server(&trusted, &clock);
    let known = client(roots(), Some(PKI.user.clone()), &clock);
    assert!(shake(&server, &known, AUTH_SERVER_NAME).is_err(), "foreign");
    trusted.set(from_ref(&PKI.user_ca)).unwrap();
    let mut eager = (*known).clone();
    eager.resumption = Resumption::in_memory_sessions(8);
    let eager = Arc::new(eager);
    for _ in 0..3 {
        let (_, connection, _) = shake(&server, &eager, AUTH_SERVER_NAME).unwrap();
        assert_eq!(connection.handshake_kind(), Some(HandshakeKind::Full), "no resumption");
    }
    trusted.set(&[]).unwrap();
    assert!(shake(&server, &known, AUTH_SERVER_NAME).is_err(), "removed");
    shake(&server, &client(roots(), None, &clock), AUTH_SERVER_NAME).unwrap();

    trusted.set(from_ref(&PKI.user_ca)).unwrap();
    let untimely = client(Trust::DangerAnyServer, Some(PKI.user.clone()), &clock);
    clock.set(PKI.server_leaf.not_after().checked_add(Duration::from_secs(60)).unwrap());
    assert!(shake(&server, &untimely, AUTH_SERVER_NAME).is_err(), "expired");
    clock.set(Timestamp::UNIX_EPOCH);
    assert!(shake(&server, &untimely, AUTH_SERVER_NAME).is_err(), "not yet valid");
}

#[test]
fn a_pin_trusts_what_the_pinned_authority_issued() {
    let clock = clock();
    let trusted = TrustedClients::new(&[]).unwrap();
    let server = server(&trusted, &clock);
    let pin = |certificate: &Certificate| Trust::Pins(vec!["sha256:00".to_owned(), certificate.pin()]);
    let shaken = |trust, name| shake(&server, &client(trust, None, &clock), name);
    shaken(pin(&PKI.host_ca), AUTH_SERVER_NAME).unwrap();
    shaken(Trust::Pins(vec![PKI.host_ca.pin().replace("sha256", "SHA256").to_uppercase()]), AUTH_SERVER_NAME).unwrap();
    assert!(shaken(pin(&PKI.host_ca), "elsewhere.example").is_err(), "another name");
    assert!(shaken(pin(&PKI.user_ca), AUTH_SERVER_NAME).is_err(), "another authority");
    assert!(shaken(pin(&PKI.server_leaf), AUTH_SERVER_NAME).is_err(), "a pin names an authority");
    assert!(shaken(Trust::Pins(vec![]), AUTH_SERVER_NAME).is_err(), "no pin");
    shaken(Trust::DangerAnyServer, "elsewhere.example").unwrap();
    clock.set(PKI.server_leaf.not_after().checked_add(Duration::from_secs(60)).unwrap());
    assert!(shaken(pin(&PKI.host_ca), AUTH_SERVER_NAME).is_err(), "expired");
}

#[test]
fn a_server_in_front_may_prove_that_it_is_itself() {
    let clock = clock();
    let server = server(&TrustedClients::new(&[]).unwrap(), &clock);
    let shaken = |root: &Certificate, name: &str, asked: &str| {
        let trust = Trust::Front { roots: vec![root.clone()], name: name.into() };
        shake(&server, &client(trust, None, &clock), asked).map(drop)
    };
    shaken(&PKI.host_ca, AUTH_SERVER_NAME, "app.example").unwrap();
    shaken(&PKI.host_ca, "front.example", AUTH_SERVER_NAME).unwrap();
    shaken(&PKI.host_ca, "no name", AUTH_SERVER_NAME).unwrap();
    assert!(shaken(&PKI.host_ca, "front.example", "app.example").is_err(), "neither");
    assert!(shaken(&PKI.host_ca, "no name", "app.example").is_err(), "no name of the front");
    assert!(shaken(&PKI.user_ca, AUTH_SERVER_NAME, "app.example").is_err(), "another authority");
}

#[test]
fn a_pinned_certificate_beside_a_foreign_chain_proves_nothing() {
    let clock = clock();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let status = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/O=c/CN=c",
        ])
        .args(["-addext", "subjectAltName=DNS:teleport.cluster.local", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &path("key"), "-out", &path("pem"), "-days", "2"])
        .output()
        .unwrap();
    assert!(status.status.success());
    let forged = Certificate::from_pem(&std::fs::read_to_string(path("pem")).unwrap()).unwrap();
    let key = KeyPair::from_pem(&std::fs::read_to_string(path("key")).unwrap()).unwrap();
    let chain = CertificateChain::new(&[forged, PKI.host_ca.clone()], &key).unwrap();
    let server = server_config(ServerCertificate::new(chain), ClientAuth::None, &[ALPN_H2], &clock.clock()).unwrap();
    let pinned = client(Trust::Pins(vec![PKI.host_ca.pin()]), None, &clock);
    assert!(shake(&server, &pinned, AUTH_SERVER_NAME).is_err());
    assert!(CertificateChain::new(from_ref(&PKI.server_leaf), &key).is_err(), "another's key");
}

#[test]
fn the_name_of_a_cluster_is_hidden_in_hex() {
    assert_eq!(auth_alpn("a.b"), b"teleport-auth@612e62.teleport.cluster.local");
}

/// What the ends of a new connection have in common, as each of them sees it: the server's and the client's.
fn exported() -> (Exported, Exported) {
    let clock = clock();
    let trusted = TrustedClients::new(from_ref(&PKI.user_ca)).unwrap();
    let (server, client) = (server(&trusted, &clock), client(roots(), None, &clock));
    let (_, server, client) = shake(&server, &client, AUTH_SERVER_NAME).unwrap();
    (Exported::of(&server).unwrap(), Exported::of(&client).unwrap())
}

#[test]
fn an_authenticator_proves_a_key_for_one_thing_within_one_connection() {
    let (clock, users) = (clock(), TrustedClients::new(from_ref(&PKI.user_ca)).unwrap());
    let (server, client) = exported();
    let proof = server.prove(&PKI.user, b"stream 1").unwrap();
    let verify = |proof: &[u8], context: &[u8]| client.verify(proof, context, &users, &clock.clock());
    let leaf = verify(&proof, b"stream 1").unwrap();
    assert_eq!(leaf.der(), &*PKI.user.0.cert[0]);

    assert!(matches!(verify(&proof, b"stream 2"), Err(AuthenticatorError::Context)));
    let (other, _) = exported();
    let elsewhere = other.prove(&PKI.user, b"stream 1").unwrap();
    assert!(matches!(verify(&elsewhere, b"stream 1"), Err(AuthenticatorError::Forged)));

    let hosts = TrustedClients::new(from_ref(&PKI.host_ca)).unwrap();
    let refused = client.verify(&proof, b"stream 1", &hosts, &clock.clock());
    assert!(matches!(refused, Err(AuthenticatorError::Certificate(_))), "{refused:?}");
    let nobody = TrustedClients::new(&[]).unwrap();
    assert!(client.verify(&proof, b"stream 1", &nobody, &clock.clock()).is_err());
    clock.advance(Duration::from_secs(3 * 86_400));
    let late = client.verify(&proof, b"stream 1", &users, &clock.clock());
    assert!(matches!(late, Err(AuthenticatorError::Certificate(_))), "{late:?}");
}

#[test]
fn an_authenticator_with_any_byte_changed_or_missing_proves_nothing() {
    let (clock, users) = (clock(), TrustedClients::new(from_ref(&PKI.user_ca)).unwrap());
    let (server, client) = exported();
    let proof = server.prove(&PKI.user, b"s").unwrap();
    for at in 0..proof.len() {
        let mut changed = proof.clone();
        changed[at] ^= 1;
        assert!(client.verify(&changed, b"s", &users, &clock.clock()).is_err(), "byte {at}");
        assert!(client.verify(&proof[..at], b"s", &users, &clock.clock()).is_err(), "cut at {at}");
    }
    let longer = [&proof[..], &[0]].concat();
    assert!(client.verify(&longer, b"s", &users, &clock.clock()).is_err());
}

#[test]
fn a_chain_that_is_too_long_to_be_counted_is_not_shown() {
    let (server, _) = exported();
    let leaf = &PKI.user.0.cert[0];
    let prove = |bytes: usize| {
        let shown = CertifiedKey::new(vec![leaf.clone(); bytes / leaf.len()], Arc::clone(&PKI.user.0.key));
        server.prove(&CertificateChain(Arc::new(shown)), b"s")
    };
    assert!(prove(60_000).unwrap().len() <= usize::from(u16::MAX));
    assert!(prove(70_000).is_err());
}

/// Whoever knows what the ends share, but does not hold the key.
#[test]
fn a_certificate_without_its_key_proves_nothing() {
    let (clock, users) = (clock(), TrustedClients::new(from_ref(&PKI.user_ca)).unwrap());
    let (server, client) = exported();
    let shown = CertifiedKey::new(PKI.user.0.cert.clone(), Arc::clone(&PKI.server.0.key));
    let proof = server.prove(&CertificateChain(Arc::new(shown)), b"s").unwrap();
    let refused = client.verify(&proof, b"s", &users, &clock.clock());
    assert!(matches!(refused, Err(AuthenticatorError::Forged)), "{refused:?}");
}

/// The bytes of RFC 9261 §5.2, made once more with other means.
#[test]
fn an_authenticator_is_what_the_standard_says() {
    let clock = clock();
    let trusted = TrustedClients::new(from_ref(&PKI.user_ca)).unwrap();
    let (server, client) = (server(&trusted, &clock), client(roots(), None, &clock));
    let (_, server, client) = shake(&server, &client, AUTH_SERVER_NAME).unwrap();
    let export = |label: &str| {
        client
            .export_keying_material([0; 32], format!("EXPORTER-server authenticator {label}").as_bytes(), None)
            .unwrap()
    };
    let (context, key) = (export("handshake context"), export("finished key"));
    let proof = Exported::of(&server).unwrap().prove(&PKI.user, b"abcd").unwrap();

    let leaf = &PKI.user.0.cert[0];
    let u24 = |length: usize| u32::try_from(length).unwrap().to_be_bytes()[1..].to_vec();
    let entry = [&u24(leaf.len())[..], leaf, &[0, 0]].concat();
    let body = [&b"\x04abcd"[..], &u24(entry.len()), &entry].concat();
    let certificate = [&[11][..], &u24(body.len()), &body].concat();
    let verify = proof.strip_prefix(&certificate[..]).unwrap();
    // Behind the message's head: ecdsa_secp256r1_sha256, and the signature after its length.
    assert_eq!((verify[0], &verify[4..6]), (15, &[4, 3][..]));
    let length = usize::from(verify[7]);
    let (signature, finished) = verify[8..].split_at(length);
    let hash = sha256_parts(&[&context, &certificate]);
    let signed = [&[0x20; 64][..], b"Exported Authenticator\0", &hash].concat();
    Certificate::from_der(leaf).unwrap().public_key().unwrap().verify(&signed, signature).unwrap();
    let hash = sha256_parts(&[&context, &certificate, &verify[..8 + length]]);
    assert_eq!(finished, [&[20, 0, 0, 32][..], &hmac_sha256(&key, &hash)].concat());
}

#[test]
fn within_tls_1_2_nothing_is_proved() {
    let clock = clock();
    let trusted = TrustedClients::new(from_ref(&PKI.user_ca)).unwrap();
    let (server, client) = (server(&trusted, &clock), client(roots(), None, &clock));
    let mut old = rustls::ClientConfig::builder_with_details(provider(), Arc::new(ClockTime(clock.clock())))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(root_store(from_ref(&PKI.host_ca)).unwrap())
        .with_no_client_auth();
    old.alpn_protocols.clone_from(&client.alpn_protocols);
    let (_, server, client) = shake(&server, &Arc::new(old), AUTH_SERVER_NAME).unwrap();
    assert!(Exported::of(&server).is_none() && Exported::of(&client).is_none());
}

#[test]
fn keys_of_every_kind_prove_and_a_chain_has_an_end() {
    let clock = clock();
    let (server, client) = exported();
    let dir = tempfile::tempdir().unwrap();
    for kind in ["rsa:2048", "ed25519", "ec -pkeyopt ec_paramgen_curve:prime256v1"] {
        std::fs::write(dir.path().join("ext"), "extendedKeyUsage=clientAuth\n").unwrap();
        let request = format!("req -newkey {kind} -nodes -keyout key -out csr -subj /CN=u");
        for arguments in [&request[..], "x509 -req -in csr -signkey key -days 1 -extfile ext -out own"] {
            let ran = Command::new("openssl").current_dir(dir.path()).args(arguments.split_whitespace()).output();
            let ran = ran.unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        }
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let (own, key) = (Certificate::from_pem(&read("own")).unwrap(), KeyPair::from_pem(&read("key")).unwrap());
        // Signed by itself, so that it is its own authority.
        let trusted = TrustedClients::new(from_ref(&own)).unwrap();
        let proof =
            |length| server.prove(&CertificateChain::new(&vec![own.clone(); length], &key).unwrap(), b"s").unwrap();
        let verify = |proof: &[u8]| client.verify(proof, b"s", &trusted, &clock.clock());
        assert_eq!(verify(&proof(1)).unwrap().der(), own.der(), "{kind}");
        assert!(matches!(verify(&proof(9)), Err(AuthenticatorError::Malformed)), "{kind}");
    }
}
