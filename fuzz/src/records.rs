//! Audit records, checkpoints, and places in lists.

use std::cell::RefCell;
use std::sync::Arc;

use audit::{Checkpoint, Entry};
use bytes::Bytes;
use clock::Clock;
use crypto::{KeyPair, PublicKey, Random};
use domain::resources::{BotInstance, CertAuthority, Lock, Role, role::RoleSpec};
use storage::{Key, memory::Memory};
use store::{ListRequest, Store};

use crate::text;

/// Records of the audit log, and checkpoints.
pub fn audit_records(data: &[u8]) {
    if let Ok(checkpoint) = Checkpoint::parse(data) {
        let key = KeyPair::from_ed25519_seed(&[7; 32]).expect("a seed");
        assert!(checkpoint.check(key.public()).is_err(), "nobody has signed this");
        if let Ok(key) = PublicKey::from_pem(&checkpoint.public_key) {
            let _ = checkpoint.check(&key);
        }
    }
    if let Ok(entry) = Entry::read(Bytes::copy_from_slice(data)) {
        let _ = entry.decode();
        let Ok(serde_json::Value::Object(json)) = entry.value() else { return };
        if let Some(message) = api::convert::audit_event::to_one_of(&json) {
            let back = api::convert::audit_event::from_one_of(&message).expect("our own message");
            assert_eq!(back.get("event"), json.get("event"));
        }
        if let Ok(message) = api::convert::audit_event::to_unstructured(&json) {
            let _ = api::convert::audit_event::from_unstructured(message);
        }
    }
}

/// Tokens of pages, as clients send them back, and keys as a back end gives them.
pub fn page_tokens(data: &[u8]) {
    thread_local! {
        static STORE: RefCell<(tokio::runtime::Runtime, Store)> = RefCell::new(open());
    }
    if let Some(key) = Key::decode(data) {
        assert_eq!(Key::decode(&key.encode()), Some(key));
    }
    let text = text(data);
    STORE.with_borrow(|(runtime, store)| {
        runtime.block_on(async {
            let page =
                store.list::<Role>(&ListRequest::page(2, &text)).await.expect("every token of this list is a name");
            assert!(page.items.iter().all(|role| role.metadata.name.as_str() > &*text), "only what comes after");
            assert!(!page.items.is_empty() || page.next_page_token.is_empty());
            let _ = store.list::<Lock>(&ListRequest::page(usize::MAX, &text)).await;
            let _ = store.list::<BotInstance>(&ListRequest::page(0, &text)).await;
            let _ = store.list::<CertAuthority>(&ListRequest::page(1, &text).within("user")).await;
        });
    });
}

/// A store with a few roles.
fn open() -> (tokio::runtime::Runtime, Store) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (clock, random) = (Clock::system(), Random::seeded(1));
    let memory = Arc::new(Memory::new(clock.clone(), &random));
    let store = Store::new(memory, audit::Recorder::new("fuzz", clock, random));
    runtime.block_on(async {
        for name in ["a", "access", "b", "editor", "z"] {
            let role = Role::new(name, RoleSpec::default());
            store.change().create(&role).expect("a role").commit().await.expect("memory");
        }
    });
    (runtime, store)
}
