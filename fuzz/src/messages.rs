//! Messages of the API: decoded, converted, and back.

use api::{
    convert,
    r#gen::{events, proto, teleport, tessera, types},
};
use crypto::{PublicKey, x509};
use domain::{Error, Resource, Stored};
use prost::Message;

use crate::text;

/// A message of each resource: the first byte says which, the rest is the message.
pub fn messages(data: &[u8]) {
    let Some((&which, bytes)) = data.split_first() else { return };
    macro_rules! choose {
        ($($number:literal $module:ident),+ $(,)?) => {
            match which % 16 {
                $($number => round(bytes, convert::$module::from_wire, convert::$module::to_wire),)+
                14 => static_tokens(bytes),
                _ => audit_event(bytes),
            }
        };
    }
    choose!(
        0 role, 1 user, 2 token, 3 bot, 4 bot_instance, 5 lock, 6 cert_authority, 7 cluster_name, 8 auth_preference,
        9 networking_config, 10 session_recording_config, 11 audit_config, 12 app, 13 app_server,
    );
}

/// What a message is taken for is written as a message that is taken for the same.
fn round<M: Message + Default, T: Resource + PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    from_wire: fn(M) -> Result<T, Error>,
    to_wire: fn(&T) -> M,
) {
    let Ok(document) = M::decode(bytes).map_err(drop).and_then(|message| from_wire(message).map_err(drop)) else {
        return;
    };
    let again = M::decode(to_wire(&document).encode_to_vec().as_slice()).expect("our own bytes");
    assert_eq!(from_wire(again).expect("our own message"), document);
    let _ = document.validate();
    // What is taken may be stored, and what is stored and cannot be read is lost with every list that it stands in.
    let stored = Stored::new(document).encode().expect("a document");
    Stored::<T>::decode(&stored).expect("what was stored is read back");
}

fn static_tokens(bytes: &[u8]) {
    let Ok(message) = types::StaticTokensV2::decode(bytes) else { return };
    if let Ok(tokens) = convert::static_tokens::from_wire(message) {
        let _ = convert::static_tokens::to_wire(&tokens);
    }
}

fn audit_event(bytes: &[u8]) {
    if let Ok(message) = events::OneOf::decode(bytes)
        && let Ok(json) = convert::audit_event::from_one_of(&message)
    {
        let _ = convert::audit_event::to_one_of(&json);
    }
    if let Ok(message) = teleport::auditlog::v1::EventUnstructured::decode(bytes)
        && let Ok(json) = convert::audit_event::from_unstructured(message)
    {
        let _ = convert::audit_event::to_unstructured(&json);
    }
}

/// What a watcher is sent.
pub fn watch_events(data: &[u8]) {
    let Ok(message) = proto::Event::decode(data) else { return };
    if let Ok(convert::watch::Event::Put(resource)) = convert::watch::from_wire(message) {
        let message = convert::watch::put(&resource).expect("what was read is watched");
        assert!(convert::watch::from_wire(message).is_ok());
    }
    if let Ok(message) = proto::Watch::decode(data) {
        let _ = convert::watch::init(message.kinds);
    }
}

/// Requests of strangers and of bots: a join, certificates of users and hosts, a stream through the proxy.
pub fn requests(data: &[u8]) {
    let Some((&which, bytes)) = data.split_first() else { return };
    match which % 5 {
        0 => {
            if let Ok(request) = types::RegisterUsingTokenRequest::decode(bytes) {
                let _ = domain::role::SystemRole::parse(&request.role);
                keys(&request.public_tls_key, &request.public_ssh_key, request.expires);
            }
        }
        1 => {
            if let Ok(request) = proto::UserCertsRequest::decode(bytes) {
                keys(&request.tls_public_key, &request.public_key, request.expires);
            }
        }
        2 => {
            if let Ok(request) = proto::HostCertsRequest::decode(bytes) {
                keys(&request.public_tls_key, &request.public_ssh_key, None);
            }
        }
        3 => {
            let _ = teleport::join::v1::JoinRequest::decode(bytes);
            let _ = proto::ListResourcesRequest::decode(bytes);
        }
        _ => {
            let _ = teleport::transport::v1::ProxyClusterRequest::decode(bytes);
            let _ = teleport::transport::v1::ProxySshRequest::decode(bytes);
        }
    }
}

/// The question of a renewal within the grace: a certificate, a question as it was signed, a signature.
pub fn grace_questions(data: &[u8]) {
    let Ok(request) = tessera::v1::RenewRequest::decode(data) else { return };
    if let Ok(question) = tessera::v1::RenewalQuestion::decode(request.question.as_slice()) {
        keys(&question.tls_public_key, &question.ssh_public_key, question.expires);
    }
    let Ok(certificate) = x509::Certificate::from_der(&request.certificate) else { return };
    let _ = domain::identity::Identity::from_subject(certificate.subject());
    if let Ok(key) = certificate.public_key() {
        let _ = key.verify(&request.question, &request.signature);
    }
}

fn keys(tls: &[u8], ssh: &[u8], expires: Option<prost_types::Timestamp>) {
    let _ = PublicKey::from_pem(text(tls).trim());
    let _ = PublicKey::from_authorized_key(text(ssh).trim());
    let _ = convert::time(expires);
}
