//! The library that our tools, agents and other programs link: dialling, credential loaders, typed calls, watch.
//!
//! A [`Client`] is one HTTP/2 connection to the auth service, made when it is needed and made again when it is lost.
//! It must never know what a call means: no caching, no authorisation, no resource logic.

mod call;
mod config;
mod connection;
pub mod credentials;
mod dial;
mod error;
mod first_connect;
mod identity;
mod proxies;
mod retry;
mod skew;
mod upgrade;
mod watch;
mod web;

pub use crate::{
    call::{Client, Streaming},
    config::{Config, Timeouts, Trust},
    credentials::{Credentials, CredentialsError, IdentityFile, system_authorities},
    dial::tcp,
    error::ConnectError,
    first_connect::fetch_authorities,
    identity::{Certificates, Held, IdentityError},
    proxies::{Proxies, ProxyError},
    retry::Backoff,
    skew::Skew,
    upgrade::past_balancer,
    watch::{Watch, WatchKind},
    web::{Find, Web},
};

/// The name every auth server's certificate carries, whatever address it is dialled at.
pub const SERVER_NAME: &str = "teleport.cluster.local";

/// The API version that we tell the server with each call.
pub const API_VERSION: &str = "18.0.0";
