//! What every resource has beside its specification: name, labels, expiry, revision.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::{Error, form::time};

/// Label that says where a resource comes from.
pub const ORIGIN: &str = "teleport.dev/origin";
/// Label of resources that the product made: `system` or `preset`.
pub const RESOURCE_TYPE: &str = "teleport.internal/resource-type";
/// Label of a bot's user and role: the bot's name.
pub const BOT: &str = "teleport.internal/bot";
/// Label of a bot's user: the generation of its identity, as older versions kept it.
pub const BOT_GENERATION: &str = "teleport.internal/bot-generation";
/// Marks a join token that stands in the configuration file and lives as long as it stands there.
pub const STATIC_TOKEN: &str = "tessera.dev/static-token";
/// Labels with this prefix are not shown.
pub const HIDDEN: &str = "teleport.hidden/";

/// The values that [`ORIGIN`] may have.
pub const ORIGINS: &[&str] = &[
    "defaults",
    "config-file",
    "config",
    "dynamic",
    "cloud",
    "kubernetes",
    "okta",
    "integration_awsoidc",
    "entra-id",
    "discovery-kubernetes",
    "scim",
    "aws-identity-center",
    "intune",
];

document! {
    /// Name, labels, expiry and revision of a resource.
    pub struct Metadata {
        +name: String,
        /// Read from old documents (`default` or nothing), never written, and always empty here.
        #[serde(deserialize_with = "namespace", skip_serializing)]
        +namespace: String,
        description: String,
        labels: BTreeMap<String, String>,
        #[serde(with = "time::option")]
        expires: Option<Timestamp>,
        /// Opaque, from storage; for compare-and-set only.
        revision: String,
    }
}

impl Metadata {
    /// Metadata with nothing but a name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The value of a label, or the empty text.
    #[must_use]
    pub fn label(&self, key: &str) -> &str {
        self.labels.get(key).map_or("", String::as_str)
    }

    /// Whether the resource is past its end: from then on it is as if it were not there.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Checks what holds for every kind: the origin label and the shape of labels. The name is checked by its own table.
    ///
    /// # Errors
    /// When a label is out of order.
    pub fn validate(&self) -> Result<(), Error> {
        if let Some(origin) = self.labels.get(ORIGIN)
            && !ORIGINS.contains(&origin.as_str())
        {
            return Err(Error::invalid(format!(
                "metadata.labels: {ORIGIN} must be one of {}, found {origin:?}",
                ORIGINS.join(", ")
            )));
        }
        for (key, value) in &self.labels {
            crate::names::LABEL_KEY.check("a label", key)?;
            crate::names::TEXT.check(&format!("the value of label {key:?}"), value)?;
        }
        crate::names::TEXT.check("metadata.description", &self.description)
    }
}

/// There are no namespaces any more; what was written for the only one is accepted.
fn namespace<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match <String as serde::Deserialize>::deserialize(deserializer)?.as_str() {
        "" | "default" => Ok(String::new()),
        other => Err(serde::de::Error::custom(format_args!("must be \"default\" or left out, found {other:?}"))),
    }
}
