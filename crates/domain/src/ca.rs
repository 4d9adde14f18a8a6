//! The types of certificate authorities.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// What an authority signs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is what `CaType::as_str` calls it")]
pub enum CaType {
    #[default]
    Host,
    User,
    Db,
    DbClient,
    Openssh,
    Jwt,
    SamlIdp,
    OidcIdp,
    Spiffe,
    Okta,
    AwsRa,
    BoundKeypair,
    Windows,
}

impl CaType {
    /// Every type.
    pub const ALL: [Self; 13] = [
        Self::Host,
        Self::User,
        Self::Db,
        Self::DbClient,
        Self::Openssh,
        Self::Jwt,
        Self::SamlIdp,
        Self::OidcIdp,
        Self::Spiffe,
        Self::Okta,
        Self::AwsRa,
        Self::BoundKeypair,
        Self::Windows,
    ];

    /// The types made at the first start of a cluster.
    pub const CREATED: [Self; 12] = [
        Self::Host,
        Self::User,
        Self::Db,
        Self::DbClient,
        Self::Openssh,
        Self::Jwt,
        Self::SamlIdp,
        Self::OidcIdp,
        Self::Spiffe,
        Self::Okta,
        Self::AwsRa,
        Self::BoundKeypair,
    ];

    /// The name of the type in documents and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::User => "user",
            Self::Db => "db",
            Self::DbClient => "db_client",
            Self::Openssh => "openssh",
            Self::Jwt => "jwt",
            Self::SamlIdp => "saml_idp",
            Self::OidcIdp => "oidc_idp",
            Self::Spiffe => "spiffe",
            Self::Okta => "okta",
            Self::AwsRa => "awsra",
            Self::BoundKeypair => "bound_keypair",
            Self::Windows => "windows",
        }
    }

    /// Reads a type.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ca| ca.as_str() == word)
    }

    /// Whether clients of the pinned API know the type. The others are returned only when asked for by type: an older
    /// client closes its watch on an authority that it does not know.
    #[must_use]
    pub const fn is_known_to_old_clients(self) -> bool {
        !matches!(self, Self::AwsRa | Self::BoundKeypair | Self::Windows)
    }
}

impl fmt::Display for CaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for CaType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for CaType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::parse(&word).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|ca| ca.as_str()).collect();
            D::Error::custom(format_args!("must be one of {}, found {word:?}", known.join(", ")))
        })
    }
}
