//! `cert_authority` v2: the keys of an authority, those in use and those still trusted.

use std::time::Duration;

use jiff::Timestamp;

use crate::{
    Error,
    ca::CaType,
    form::{Bytes, SecretBytes, duration, time},
    names,
    resources::resource,
};

resource!(
    /// A certificate authority. Its sub-kind is its type, its name the cluster's.
    CertAuthority(CertAuthority), "v2" of ["v2"], CertAuthoritySpec
);

document! {
    /// The keys of an authority.
    pub struct CertAuthoritySpec {
        #[serde(rename = "type")]
        +ca_type: CaType,
        +cluster_name: String,
        roles: Vec<String>,
        role_map: Vec<RoleMapping>,
        rotation: Option<Rotation>,
        /// Deprecated: 0 unknown, 1 SHA-1, 2 SHA-256, 3 SHA-512, each with RSA.
        signing_alg: i32,
        +active_keys: KeySet,
        +additional_trusted_keys: KeySet,
    }
}

document! {
    /// A role of another cluster, and what it becomes here.
    pub struct RoleMapping {
        +remote: String,
        +local: Vec<String>,
    }
}

document! {
    /// The keys of one generation.
    pub struct KeySet {
        ssh: Vec<SshKeyPair>,
        tls: Vec<TlsKeyPair>,
        jwt: Vec<JwtKeyPair>,
    }
}

document! {
    /// An SSH key: the public part as an authorized_keys line.
    pub struct SshKeyPair {
        public_key: Bytes,
        /// Sealed in storage and memory; empty without the permission to read it.
        private_key: SecretBytes,
        private_key_type: PrivateKeyType,
    }
}

document! {
    /// A TLS key with its certificate, both PEM.
    pub struct TlsKeyPair {
        cert: Bytes,
        /// Sealed in storage and memory; empty without the permission to read it.
        key: SecretBytes,
        key_type: PrivateKeyType,
    }
}

document! {
    /// A key for signed tokens: the public part as PEM.
    pub struct JwtKeyPair {
        public_key: Bytes,
        /// Sealed in storage and memory; empty without the permission to read it.
        private_key: SecretBytes,
        private_key_type: PrivateKeyType,
    }
}

/// Where a private key is. Documents carry the number, as the official types do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum PrivateKeyType {
    /// The key is here.
    #[default]
    Raw,
    /// In a PKCS#11 module.
    Pkcs11,
    /// In Google Cloud KMS.
    GcpKms,
    /// In AWS KMS.
    AwsKms,
}

impl PrivateKeyType {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The value with this number on the wire.
    #[must_use]
    pub const fn from_number(number: i32) -> Option<Self> {
        Some(match number {
            0 => Self::Raw,
            1 => Self::Pkcs11,
            2 => Self::GcpKms,
            3 => Self::AwsKms,
            _ => return None,
        })
    }
}

impl serde::Serialize for PrivateKeyType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(self.number())
    }
}

impl<'de> serde::Deserialize<'de> for PrivateKeyType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i32::deserialize(deserializer)?;
        Self::from_number(number)
            .ok_or_else(|| serde::de::Error::custom(format_args!("must be 0 to 3, found {number}")))
    }
}

document! {
    /// Where a rotation stands; the empty one means that none is under way.
    pub struct Rotation {
        state: String,
        phase: String,
        mode: String,
        +current_id: String,
        #[serde(with = "time::always")]
        +started: Option<Timestamp>,
        #[serde(with = "duration::go")]
        grace_period: Duration,
        #[serde(with = "time::always")]
        +last_rotated: Option<Timestamp>,
        +schedule: RotationSchedule,
    }
}

document! {
    /// When the phases of a rotation begin.
    pub struct RotationSchedule {
        #[serde(with = "time::always")]
        +update_clients: Option<Timestamp>,
        #[serde(with = "time::always")]
        +update_servers: Option<Timestamp>,
        #[serde(with = "time::always")]
        +standby: Option<Timestamp>,
    }
}

impl CertAuthority {
    /// An authority of this type for this cluster, without keys.
    #[must_use]
    pub fn empty(ca_type: CaType, cluster: &str) -> Self {
        let spec = CertAuthoritySpec { ca_type, cluster_name: cluster.to_owned(), ..Default::default() };
        Self { sub_kind: ca_type.as_str().to_owned(), ..Self::new(cluster, spec) }
    }

    /// The type of the authority.
    #[must_use]
    pub const fn ca_type(&self) -> CaType {
        self.spec.ca_type
    }

    /// The authority as everybody may see it: no private keys.
    #[must_use]
    pub fn without_secrets(mut self) -> Self {
        for set in [&mut self.spec.active_keys, &mut self.spec.additional_trusted_keys] {
            set.ssh.iter_mut().for_each(|pair| pair.private_key = SecretBytes::default());
            set.tls.iter_mut().for_each(|pair| pair.key = SecretBytes::default());
            set.jwt.iter_mut().for_each(|pair| pair.private_key = SecretBytes::default());
        }
        self
    }

    /// The certificates that are trusted, active ones first, as PEM.
    pub fn trusted_tls(&self) -> impl Iterator<Item = &[u8]> {
        let sets = [&self.spec.active_keys, &self.spec.additional_trusted_keys];
        sets.into_iter().flat_map(|set| set.tls.iter().map(|pair| pair.cert.0.as_slice()))
    }

    /// The SSH keys that are trusted, active ones first, as authorized_keys lines.
    pub fn trusted_ssh(&self) -> impl Iterator<Item = &[u8]> {
        let sets = [&self.spec.active_keys, &self.spec.additional_trusted_keys];
        sets.into_iter().flat_map(|set| set.ssh.iter().map(|pair| pair.public_key.0.as_slice()))
    }

    fn fill(&mut self) {
        self.sub_kind = self.spec.ca_type.as_str().to_owned();
        if self.metadata.name.is_empty() {
            self.metadata.name.clone_from(&self.spec.cluster_name);
        }
        if self.spec.cluster_name.is_empty() {
            self.spec.cluster_name.clone_from(&self.metadata.name);
        }
    }

    fn check(&self) -> Result<(), Error> {
        names::CLUSTER.check("spec.cluster_name", &self.spec.cluster_name)?;
        if self.sub_kind != self.spec.ca_type.as_str() {
            return Err(Error::invalid(format!(
                "sub_kind {:?} must equal spec.type {:?}",
                self.sub_kind,
                self.spec.ca_type.as_str()
            )));
        }
        Ok(())
    }
}
