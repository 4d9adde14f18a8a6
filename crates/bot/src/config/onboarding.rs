//! How a bot proves itself the first time.

use std::{fmt, fs, path::Path, time::Duration};

use crypto::SecretString;
use serde_json::{Map, Value as Json};

use super::{
    ConfigError,
    fields::{Fields, nearest},
};

/// The section `onboarding`.
#[derive(Clone, Default)]
pub struct Onboarding {
    /// Name of the token, or the absolute path of a file that holds it.
    pub token: Option<SecretString>,
    /// The kind of proof; `token` when nothing is said.
    pub join_method: Option<String>,
    /// Pins of the cluster's authorities, for the first connection.
    pub ca_pins: Vec<String>,
    /// A file with the cluster's authorities, for the first connection.
    pub ca_path: Option<String>,
    /// The blocks of single methods, as they were written; checked, not yet used.
    pub methods: Map<String, Json>,
}

/// The join methods that a bot can name.
pub const JOIN_METHODS: [&str; 17] = [
    "azure",
    "azure_devops",
    "bitbucket",
    "bound_keypair",
    "circleci",
    "env0",
    "gcp",
    "generic_oidc",
    "github",
    "gitlab",
    "iam",
    "kubernetes",
    "oracle",
    "spacelift",
    "terraform_cloud",
    "token",
    "tpm",
];

/// The blocks of methods may hold secrets.
impl fmt::Debug for Onboarding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Onboarding")
            .field("token", &self.token)
            .field("join_method", &self.join_method)
            .field("ca_pins", &self.ca_pins)
            .field("ca_path", &self.ca_path)
            .field("methods", &self.methods.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Onboarding {
    pub(crate) fn read(mut fields: Fields<'_>) -> Result<Self, ConfigError> {
        let join_method = fields.text("join_method")?.filter(|method| !method.is_empty());
        if let Some(method) = &join_method {
            check_method(method).map_err(|message| fields.refuse("join_method", message))?;
        }
        let mut methods = Map::new();
        for (key, read) in METHOD_BLOCKS {
            if let Some(block) = fields.map(key)? {
                methods.insert((*key).to_owned(), Json::Object(read(block)?));
            }
        }
        let onboarding = Self {
            token: fields.text("token")?.filter(|token| !token.is_empty()).map(SecretString::new),
            join_method,
            ca_pins: fields.texts("ca_pins")?,
            ca_path: fields.text("ca_path")?.filter(|path| !path.is_empty()),
            methods,
        };
        if let Err(message) = onboarding.ca_pins.iter().try_for_each(|pin| check_pin(pin)) {
            return Err(fields.refuse("ca_pins", message));
        }
        fields.finish()?;
        Ok(onboarding)
    }

    /// The method in force.
    pub fn method(&self) -> &str {
        self.join_method.as_deref().unwrap_or("token")
    }

    /// Takes a registration secret where the method needs one and nothing else names it.
    pub(crate) fn fall_back_to(&mut self, secret: Option<SecretString>) {
        let Some(secret) = secret.filter(|_| self.method() == "bound_keypair") else { return };
        let block = self.methods.entry("bound_keypair").or_insert_with(|| Json::Object(Map::new()));
        if block.get("registration_secret").is_none() && block.get("registration_secret_path").is_none() {
            block["registration_secret"] = secret.expose().clone().into();
        }
    }

    /// The token itself. A path is read anew each time, so that a file may be replaced.
    ///
    /// # Errors
    /// When there is none, or its file cannot be read.
    pub fn read_token(&self) -> Result<SecretString, String> {
        let given = self.token.as_ref().ok_or("no join token is configured: set onboarding.token or --token")?;
        if !given.expose().starts_with('/') {
            return Ok(given.clone());
        }
        let path = Path::new(given.expose());
        let text = fs::read_to_string(path)
            .map_err(|error| format!("cannot read the join token from {}: {error}", path.display()))?;
        match text.trim() {
            "" => Err(format!("the join token file {} is empty", path.display())),
            token => Ok(SecretString::from(token)),
        }
    }

    pub(crate) fn render(&self) -> Json {
        let mut map = Map::new();
        map.insert("join_method".into(), self.method().into());
        if let Some(token) = &self.token {
            map.insert("token".into(), token.expose().clone().into());
        }
        if !self.ca_pins.is_empty() {
            map.insert("ca_pins".into(), self.ca_pins.clone().into());
        }
        if let Some(path) = &self.ca_path {
            map.insert("ca_path".into(), path.clone().into());
        }
        map.extend(self.methods.clone());
        Json::Object(map)
    }
}

/// Whether a method is one that a bot can name.
pub(crate) fn check_method(method: &str) -> Result<(), String> {
    if method == "ec2" {
        return Err("ec2 joins agents, not bots; use iam".into());
    }
    if JOIN_METHODS.contains(&method) {
        return Ok(());
    }
    let known = match (method, nearest(method, &JOIN_METHODS)) {
        ("terraform", _) => "did you mean terraform_cloud or spacelift?".to_owned(),
        (_, Some(near)) => format!("did you mean {near:?}?"),
        _ => format!("known: {}", JOIN_METHODS.join(", ")),
    };
    Err(format!("{method:?} is no join method; {known}"))
}

/// Whether a pin is one.
pub(crate) fn check_pin(pin: &str) -> Result<(), String> {
    let digits = pin.trim().to_ascii_lowercase();
    let digits = digits.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
    match digits.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        true => Ok(()),
        false => Err(format!("{pin:?} is no pin; it looks like sha256:<64 hex digits>, see tctl status")),
    }
}

type ReadBlock = fn(Fields<'_>) -> Result<Map<String, Json>, ConfigError>;

/// The blocks below `onboarding`, one for each method that has parameters.
const METHOD_BLOCKS: &[(&str, ReadBlock)] = &[
    ("azure", |fields| read_texts(fields, &["client_id"])),
    ("terraform", |fields| read_texts(fields, &["audience_tag"])),
    ("gitlab", |fields| read_texts(fields, &["token_env_var_name"])),
    ("kubernetes", |fields| read_texts(fields, &["token_path"])),
    ("bound_keypair", read_bound_keypair),
    ("generic_oidc", read_generic_oidc),
];

fn read_texts(mut fields: Fields<'_>, keys: &[&'static str]) -> Result<Map<String, Json>, ConfigError> {
    let mut map = Map::new();
    for key in keys {
        if let Some(text) = fields.text(key)? {
            map.insert((*key).to_owned(), text.into());
        }
    }
    fields.finish()?;
    Ok(map)
}

fn read_bound_keypair(mut fields: Fields<'_>) -> Result<Map<String, Json>, ConfigError> {
    let (secret, path) = (fields.text("registration_secret")?, fields.text("registration_secret_path")?);
    if secret.is_some() && path.is_some() {
        return Err(fields.refuse("registration_secret_path", "excludes registration_secret"));
    }
    let static_key = fields.text("static_key_path")?;
    let static_key = static_key.or(fields.text("static_private_key_path")?);
    fields.finish()?;
    let entries =
        [("registration_secret", secret), ("registration_secret_path", path), ("static_key_path", static_key)];
    Ok(entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))).collect())
}

fn read_generic_oidc(mut fields: Fields<'_>) -> Result<Map<String, Json>, ConfigError> {
    let mut map = Map::new();
    let command = fields.texts("command")?;
    let timeout: Option<Duration> = fields.duration("timeout")?;
    let variable = fields.text("env")?;
    if command.is_empty() == variable.is_none() {
        return Err(fields.refuse("command", "exactly one of command and env is needed"));
    }
    if let Some(variable) = variable {
        map.insert("env".into(), variable.into());
    } else {
        map.insert("command".into(), command.into());
    }
    if let Some(timeout) = timeout {
        map.insert("timeout".into(), domain::form::duration::format(timeout).into());
    }
    fields.finish()?;
    Ok(map)
}
