//! What the command line and the environment say; it wins over the file.

use std::{fmt, path::PathBuf, time::Duration};

use crypto::SecretString;

use super::{
    Config, Destination, Service,
    onboarding::{check_method, check_pin},
};

/// Values from flags and environment variables; absent ones change nothing.
#[derive(Clone, Default)]
#[allow(missing_docs, reason = "each is the key of the same name of the file")]
pub struct Overrides {
    pub debug: Option<bool>,
    pub fips: Option<bool>,
    pub insecure: Option<bool>,
    pub oneshot: Option<bool>,
    pub scoped: Option<bool>,
    pub auth_server: Option<String>,
    pub proxy_server: Option<String>,
    pub token: Option<String>,
    pub ca_pins: Vec<String>,
    pub join_method: Option<String>,
    pub join_uri: Option<String>,
    pub credential_ttl: Option<Duration>,
    pub renewal_interval: Option<Duration>,
    pub storage: Option<String>,
    pub diag_addr: Option<String>,
    pub pid_file: Option<PathBuf>,
    pub registration_secret: Option<String>,
    pub registration_secret_path: Option<String>,
    pub static_key_path: Option<String>,
    /// A service that the sub-command adds; it replaces nothing.
    pub service: Option<Service>,
    /// The registration secret when neither flag, file nor join URI has one.
    pub registration_fallback: Option<SecretString>,
}

/// Flags carry tokens and secrets as they were typed.
impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Overrides")
    }
}

impl Overrides {
    /// The same, with the environment where no flag says anything.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the bot is one of the places that read the environment")]
    pub fn or_environment(self) -> Self {
        self.or_variables(|name| std::env::var(name).ok())
    }

    pub(crate) fn or_variables(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let said = |name| variable(name).filter(|value| !value.is_empty());
        // A flag that says where to go makes both variables void, not only its own.
        if self.auth_server.is_none() && self.proxy_server.is_none() && self.join_uri.is_none() {
            self.auth_server = said("TELEPORT_AUTH_SERVER");
            self.proxy_server = said("TELEPORT_PROXY");
        }
        if self.join_uri.is_none() {
            self.token = self.token.or_else(|| said("TELEPORT_BOT_TOKEN"));
        }
        self.debug = self.debug.or_else(|| said("TBOT_DEBUG").map(|word| !is_no(&word)));
        self.registration_fallback = said("TBOT_REGISTRATION_SECRET").map(SecretString::new);
        self
    }

    pub(crate) fn apply(self, config: &mut Config) -> Result<(), String> {
        set(&mut config.debug, self.debug);
        set(&mut config.fips, self.fips);
        set(&mut config.insecure, self.insecure);
        set(&mut config.oneshot, self.oneshot);
        set(&mut config.scoped, self.scoped);
        if self.auth_server.is_some() && self.proxy_server.is_some() {
            return Err(
                "--auth-server (TELEPORT_AUTH_SERVER) and --proxy-server (TELEPORT_PROXY) exclude each other; keep one"
                    .into(),
            );
        }
        // A flag for the one address replaces the other address of the file.
        if let Some(address) = self.auth_server {
            (config.auth_server, config.proxy_server) = (Some(address), None);
        }
        if let Some(address) = self.proxy_server {
            (config.proxy_server, config.auth_server) = (Some(address), None);
        }
        if let Some(token) = self.token {
            config.onboarding.token = Some(SecretString::new(token));
        }
        self.ca_pins.iter().try_for_each(|pin| check_pin(pin)).map_err(|message| format!("--ca-pin: {message}"))?;
        if !self.ca_pins.is_empty() {
            config.onboarding.ca_pins = self.ca_pins;
        }
        if let Some(method) = self.join_method {
            check_method(&method).map_err(|message| format!("--join-method: {message}"))?;
            config.onboarding.join_method = Some(method);
        }
        if let Some(uri) = self.storage {
            config.storage = Destination::from_uri(&uri).map_err(|message| format!("--storage: {message}"))?;
        }
        set_some(&mut config.join_uri, self.join_uri.map(SecretString::new));
        set_some(&mut config.credential_ttl, self.credential_ttl);
        set_some(&mut config.renewal_interval, self.renewal_interval);
        set_some(&mut config.diag_addr, self.diag_addr);
        set_some(&mut config.pid_file, self.pid_file);
        if self.registration_secret.is_some() && self.registration_secret_path.is_some() {
            return Err("--registration-secret and --registration-secret-path exclude each other".into());
        }
        let keypair = [
            ("registration_secret", self.registration_secret),
            ("registration_secret_path", self.registration_secret_path),
            ("static_key_path", self.static_key_path),
        ];
        for (key, value) in keypair {
            let Some(value) = value else { continue };
            let block = config.onboarding.methods.entry("bound_keypair").or_insert_with(|| serde_json::json!({}));
            block[key] = value.into();
        }
        config.services.extend(self.service);
        Ok(())
    }
}

/// Whether a variable that is a switch says no.
fn is_no(word: &str) -> bool {
    ["0", "f", "false", "n", "no", "off"].contains(&word.to_ascii_lowercase().as_str())
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

fn set_some<T>(slot: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *slot = value;
    }
}
