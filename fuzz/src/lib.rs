//! One function for each parser of outside bytes. A target may refuse any input, but it must neither panic nor take long,
//! and what it accepts must hold its promises: what is written reads back, what is valid stays valid.

mod certificates;
mod configs;
mod documents;
mod http;
mod keys;
mod languages;
mod messages;
mod network;
mod records;
mod texts;

pub use crate::{
    certificates::{authenticators, jwts, ssh_certificates, x509_certificates},
    configs::{bot_config, server_config},
    documents::{documents, stored_records},
    http::{app_rewrites, first_words, launch_places, request_heads, ssh_clients, tunnel_streams, upgrade_packets},
    keys::{identity_files, private_keys, public_keys, ssh_keys},
    languages::predicates,
    messages::{grace_questions, messages, requests, watch_events},
    network::{client_hellos, control_messages, http_proxies, key_pairs, proxy_headers, source_statements, ssh_messages},
    records::{audit_records, page_tokens},
    texts::{small_texts, spiffe_ids},
};

/// What is fuzzed with bytes.
pub type Target = fn(&[u8]);

macro_rules! targets {
    ($($name:ident),+ $(,)?) => {
        /// Every target by its name: `corpus/<name>/` holds its inputs, `fuzz_targets/<name>.rs` gives it to libFuzzer.
        pub const TARGETS: &[(&str, Target)] = &[$((stringify!($name), $name)),+];
    };
}

targets!(
    documents,
    stored_records,
    predicates,
    identity_files,
    private_keys,
    public_keys,
    ssh_keys,
    ssh_certificates,
    x509_certificates,
    authenticators,
    jwts,
    messages,
    requests,
    grace_questions,
    watch_events,
    audit_records,
    bot_config,
    server_config,
    page_tokens,
    spiffe_ids,
    small_texts,
    proxy_headers,
    client_hellos,
    control_messages,
    source_statements,
    ssh_messages,
    request_heads,
    launch_places,
    app_rewrites,
    tunnel_streams,
    upgrade_packets,
    ssh_clients,
    first_words,
    http_proxies,
    key_pairs,
);

/// The bytes as text; what is no UTF-8 is replaced, so that mutations of text stay interesting.
fn text(data: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(data)
}
