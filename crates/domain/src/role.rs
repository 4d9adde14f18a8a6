//! The system roles: what a host or a bot is to the cluster.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

macro_rules! system_roles {
    ($($variant:ident $word:literal $joins:literal,)+) => {
        /// What a host certificate says its holder is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum SystemRole {
            $(#[doc = concat!("`", $word, "`")] $variant),+
        }

        impl SystemRole {
            /// Every role.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The role as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Whether a join token may give the role.
            #[must_use]
            pub const fn may_join(self) -> bool {
                match self { $(Self::$variant => $joins),+ }
            }
        }
    };
}

system_roles! {
    Auth "Auth" true,
    Node "Node" true,
    Proxy "Proxy" true,
    Admin "Admin" false,
    ProvisionToken "ProvisionToken" false,
    TrustedCluster "Trusted_cluster" true,
    Signup "Signup" false,
    Nop "Nop" false,
    RemoteProxy "RemoteProxy" false,
    Kube "Kube" true,
    App "App" true,
    Db "Db" true,
    WindowsDesktop "WindowsDesktop" true,
    Bot "Bot" true,
    Instance "Instance" true,
    Discovery "Discovery" true,
    Okta "Okta" true,
    Mdm "MDM" true,
    AccessGraphPlugin "AccessGraphPlugin" true,
}

impl SystemRole {
    /// Reads a role; letter case is ignored, and the long names of services are understood.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let lower = word.trim().to_ascii_lowercase();
        match lower.as_str() {
            "windowsdesktop" | "windows_desktop" => return Some(Self::WindowsDesktop),
            "ssh" => return Some(Self::Node),
            "application" => return Some(Self::App),
            "database" => return Some(Self::Db),
            "kubernetes" => return Some(Self::Kube),
            _ => {}
        }
        Self::ALL.iter().copied().find(|role| role.as_str().eq_ignore_ascii_case(&lower))
    }
}

impl fmt::Display for SystemRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for SystemRole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SystemRole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::parse(&word)
            .ok_or_else(|| D::Error::custom(format_args!("{word:?} is not a system role, such as Bot, Node or App")))
    }
}
