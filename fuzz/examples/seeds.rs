//! Writes the seeds that no text editor can: keys, certificates, messages. What is there already stays.
//! The private keys among them guard nothing.

use std::{fs, path::Path};

use api::{
    convert,
    r#gen::{events, proto, tessera, types},
};
use ca::{authority, ssh, x509};
use clock::{Clock, Timestamp};
use crypto::{Algorithm, KeyPair, Random};
use domain::{AnyResource, Resource, ca::CaType, identity::Identity, suite::Suite};
use keystore::{SealingKey, SoftwareKeyStore};
use prost::Message;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(credentials());
    messages();
}

fn write(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target).join(name);
    if !path.exists() {
        fs::write(path, bytes).expect("a corpus directory");
    }
}

/// Keys of each kind, certificates for them, an identity file, a join and a renewal.
async fn credentials() {
    let (clock, random) = (Clock::system(), Random::system());
    let store = SoftwareKeyStore::new(vec![SealingKey::new(&[1; 32])], random.clone()).expect("a key store");
    let now: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a time");
    let end: Timestamp = "2026-03-01T13:00:00Z".parse().expect("a time");
    let ca = authority::new_authority(CaType::User, "example.com", Suite::Legacy, &store, &clock, &random).await;
    let ca = ca.expect("an authority");
    let (tls, ssh_key) = (authority::tls_signer(&ca).expect("a key"), authority::ssh_signer(&ca).expect("a key"));
    let identity = Identity {
        username: "bot-ünï".into(),
        roles: vec!["writer".into(), "access".into()],
        principals: vec!["root".into()],
        traits: [("logins".to_owned(), vec!["root".to_owned()])].into(),
        teleport_cluster: "example.com".into(),
        bot_name: "ünï".into(),
        renewable: true,
        generation: 3,
        expires: Some(end),
        ..Identity::default()
    };
    write("x509_certificates", "authority.der", tls.certificate.der());
    for algorithm in [Algorithm::Rsa2048, Algorithm::EcdsaP256, Algorithm::Ed25519] {
        let (name, key) = (format!("{algorithm:?}").to_lowercase(), KeyPair::generate(algorithm).expect("a key"));
        let public = key.public();
        write("private_keys", &format!("{name}.pem"), key.to_pem().expect("text").expose());
        write("private_keys", &format!("{name}.openssh.pem"), key.to_openssh_pem("a").expect("text").expose());
        write("private_keys", &format!("{name}.der"), key.to_pkcs8_der().expect("bytes").expose());
        write("public_keys", &format!("{name}.pem"), public.to_pem());
        write("public_keys", &format!("{name}.der"), public.spki_der());
        write("public_keys", &format!("{name}.pub"), public.to_authorized_key());
        write("ssh_keys", &name, public.ssh_wire());
        // The authority was made today, by the clock; its certificates must lie within.
        let template = x509::user_template(&identity, public.clone(), clock.now(), tls.certificate.not_after());
        let leaf = x509::issue(&template, &tls, &store, &random).await.expect("a certificate");
        write("x509_certificates", &format!("{name}.der"), leaf.der());
        write("x509_certificates", &format!("{name}.pem"), leaf.to_pem() + &tls.certificate.to_pem());
        write("x509_certificates", &format!("{name}.truncated.der"), &leaf.der()[..leaf.der().len() - 70]);
        let template = ssh::user_template(&identity, public.clone(), now, end, &random);
        let certificate = ssh::issue(&template, &ssh_key, &store, &random).await.expect("a certificate");
        write("ssh_certificates", &name, certificate.wire());
        write("ssh_certificates", &format!("{name}.pub"), certificate.to_line());
        write("ssh_certificates", &format!("{name}.unsigned"), certificate.signed_bytes());
        let file = client::IdentityFile {
            key: key.to_pem().expect("text"),
            ssh_certificate: certificate.to_line(),
            tls_certificate: leaf.to_pem(),
            ssh_authorities: vec![format!("@cert-authority *.example.com {}", public.to_authorized_key())],
            tls_authorities: vec![tls.certificate.to_pem()],
        };
        write("identity_files", &name, file.render().expose());
        asks(&name, leaf.der(), &public.to_pem(), &public.to_authorized_key());
    }
}

/// A join, a request for certificates, a renewal within the grace.
fn asks(name: &str, certificate: &[u8], pem: &str, line: &str) {
    let expires = Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 5 });
    let join = types::RegisterUsingTokenRequest {
        token: "abcdef".into(),
        role: "Bot".into(),
        public_tls_key: pem.into(),
        public_ssh_key: line.into(),
        expires,
        ..Default::default()
    };
    write("requests", &format!("join-{name}"), [vec![0], join.encode_to_vec()].concat());
    let certs = proto::UserCertsRequest {
        username: "bot-a".into(),
        tls_public_key: pem.into(),
        ssh_public_key: line.into(),
        expires,
        role_requests: vec!["a".into()],
        use_role_requests: true,
        ..Default::default()
    };
    write("requests", &format!("certs-{name}"), [vec![1], certs.encode_to_vec()].concat());
    let question = tessera::v1::RenewalQuestion { tls_public_key: pem.into(), ssh_public_key: line.into(), expires }
        .encode_to_vec();
    let renewal = tessera::v1::RenewRequest { certificate: certificate.into(), question, signature: vec![7; 64] };
    write("grace_questions", name, renewal.encode_to_vec());
}

/// A message of each document of the text corpus, and what a watcher gets of it.
fn messages() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/documents");
    let mut files: Vec<_> =
        fs::read_dir(corpus).expect("a corpus").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.to_string_lossy().contains("/good-"));
    files.sort();
    for path in files {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("text");
        for mut resource in domain::read_documents(&text, &name).unwrap_or_default() {
            resource.set_defaults();
            macro_rules! numbered {
                ($($number:literal $variant:ident $module:ident),+ $(,)?) => {
                    match &resource {
                        $(AnyResource::$variant(value) => {
                            let bytes = convert::$module::to_wire(value).encode_to_vec();
                            write("messages", &name, [vec![$number], bytes].concat());
                            let stored = domain::Stored::new(value.clone()).encode().expect("stored");
                            write("stored_records", &format!("{name}.json"), stored);
                            assert_eq!(value.metadata(), resource.metadata());
                        })+
                    }
                };
            }
            numbered!(
                0 Role role, 1 User user, 2 Token token, 3 Bot bot, 4 BotInstance bot_instance, 5 Lock lock,
                6 CertAuthority cert_authority, 7 ClusterName cluster_name, 8 AuthPreference auth_preference,
                9 NetworkingConfig networking_config, 10 SessionRecordingConfig session_recording_config,
                11 AuditConfig audit_config, 12 App app, 13 AppServer app_server,
            );
            if let Some(event) = convert::watch::put(&resource) {
                write("watch_events", &name, event.encode_to_vec());
            }
        }
    }
    let json = serde_json::json!({"ei": 3, "event": "lock.created", "uid": "u", "code": "TLK00I", "name": "l",
        "time": "2026-01-02T03:04:05Z", "cluster_name": "c", "target": {"user": "bob"}});
    let event: Option<events::OneOf> = json.as_object().and_then(convert::audit_event::to_one_of);
    write("messages", "audit-typed", [vec![15], event.expect("a typed event").encode_to_vec()].concat());
    let free = json.as_object().and_then(|json| convert::audit_event::to_unstructured(json).ok()).expect("an event");
    write("messages", "audit-free", [vec![15], free.encode_to_vec()].concat());
}
