//! Resources as text and as stored bytes.

use std::sync::Arc;

use domain::{
    AnyResource, Kind, Resource, Stored,
    document::read_valid_documents,
    read_documents,
    resources::{
        App, AppServer, AuditConfig, AuthPreference, Bot, BotInstance, CertAuthority, ClusterName, Lock,
        NetworkingConfig, Role, SessionRecordingConfig, Token, User,
    },
};
use rbac::{AccessChecker, Family, RoleSet, RuleContext, Verb};

use crate::text;

/// What `tctl create` reads.
pub fn documents(data: &[u8]) {
    let text = text(data);
    let _ = read_documents(&text, "fuzz");
    let Ok(mut resources) = read_valid_documents(&text, "fuzz") else { return };
    for resource in &mut resources {
        if let AnyResource::Role(role) = resource {
            // There are no namespaces any more: they are read and not written.
            role.spec.allow.namespaces.clear();
            role.spec.deny.namespaces.clear();
        }
        macro_rules! keep {
            ($($variant:ident),+) => {
                match resource { $(AnyResource::$variant(value) => stored(value),)+ }
            };
        }
        keep!(
            Role,
            User,
            Token,
            Bot,
            BotInstance,
            Lock,
            CertAuthority,
            ClusterName,
            AuthPreference,
            NetworkingConfig,
            SessionRecordingConfig,
            AuditConfig,
            App,
            AppServer
        );
        if let AnyResource::Role(role) = resource {
            decide(role);
        }
    }
}

/// What is stored reads back as it was, and is still valid.
fn stored<T: Resource + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = Stored::new(value.clone()).encode().expect("a valid resource is written");
    let back = Stored::<T>::decode(&bytes).expect("our own bytes");
    assert_eq!(&back.value, value);
    assert!(back.value.validate().is_ok(), "valid before it was stored, not after");
}

/// A valid role can be asked.
fn decide(role: &Role) {
    let traits = [("logins".to_owned(), vec!["ann".to_owned(), "{{internal.logins}}".to_owned()])];
    let checker = AccessChecker::new("ann", &traits.into(), Arc::new(RoleSet::new([role.clone()])));
    let labels = [("env".to_owned(), "prod".to_owned())].into();
    let _ = checker.check_rule(&RuleContext::of(role), Kind::Role, Verb::Update);
    let _ = checker.explain_rule(&RuleContext::NONE, Kind::Token, Verb::Create).to_string();
    let _ = checker.check_labels(Family::App, &labels);
    let _ = checker.options();
}

/// What storage gives back, whoever has written it.
pub fn stored_records(data: &[u8]) {
    macro_rules! each {
        ($($resource:ty),+) => { $(record::<$resource>(data);)+ };
    }
    each!(
        Role,
        User,
        Token,
        Bot,
        BotInstance,
        Lock,
        CertAuthority,
        ClusterName,
        AuthPreference,
        NetworkingConfig,
        SessionRecordingConfig,
        AuditConfig,
        App,
        AppServer
    );
}

fn record<T: Resource + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let Ok(read) = Stored::<T>::decode(data) else { return };
    let bytes = read.encode().expect("what was read is written");
    let again = Stored::<T>::decode(&bytes).expect("our own bytes");
    assert_eq!(again.value, read.value);
    // Compared as JSON, in which the order of keys does not count.
    let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).expect("our own JSON");
    let bytes_again = again.encode().expect("what was read is written");
    assert_eq!(json(&bytes_again), json(&bytes), "unknown parts are kept where they were");
}
