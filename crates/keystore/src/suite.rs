//! Which algorithm each key has, by suite: one table.

use crypto::Algorithm::{self, EcdsaP256, Ed25519, Rsa2048};
use domain::ca::CaType;
use domain::suite::Suite;

use crate::KeyKind;

/// What a key is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A key of an authority.
    Authority(CaType, KeyKind),
    /// A user's SSH key.
    UserSsh,
    /// A user's TLS key.
    UserTls,
    /// A host's SSH key.
    HostSsh,
    /// The TLS identity of a host.
    HostIdentity,
    /// The key of a database client.
    DatabaseClient,
    /// The key of a database server.
    DatabaseServer,
    /// The identity of a bot.
    BotIdentity,
    /// A workload's SVID.
    Svid,
    /// A Windows desktop client.
    WindowsDesktop,
    /// EC2 Instance Connect, which takes RSA and Ed25519 (P-256 only where FIPS forbids that).
    Ec2InstanceConnect,
}

/// The algorithm of a new key; an unspecified suite is `balanced-v1`.
pub fn algorithm_for(suite: Suite, purpose: Purpose) -> Algorithm {
    let [legacy, balanced, fips, hsm] = row(purpose);
    match suite {
        Suite::Legacy => legacy,
        Suite::Unspecified | Suite::BalancedV1 => balanced,
        Suite::FipsV1 => fips,
        Suite::HsmV1 => hsm,
    }
}

/// Columns: `legacy`, `balanced-v1`, `fips-v1`, `hsm-v1`.
fn row(purpose: Purpose) -> [Algorithm; 4] {
    const ALL_RSA: [Algorithm; 4] = [Rsa2048; 4];
    const ALL_P256: [Algorithm; 4] = [EcdsaP256; 4];
    const P256: [Algorithm; 4] = [Rsa2048, EcdsaP256, EcdsaP256, EcdsaP256];
    const SSH_CA: [Algorithm; 4] = [Rsa2048, Ed25519, EcdsaP256, EcdsaP256];
    const SSH: [Algorithm; 4] = [Rsa2048, Ed25519, EcdsaP256, Ed25519];

    match purpose {
        // Databases, Windows and the identity providers' peers accept little else.
        Purpose::Authority(CaType::Db | CaType::DbClient | CaType::Windows, _) => ALL_RSA,
        Purpose::Authority(CaType::OidcIdp | CaType::SamlIdp, _) => ALL_RSA,
        // RSA for cloud validators of JWT-SVIDs that lack ES256.
        Purpose::Authority(CaType::Spiffe, KeyKind::Jwt) => ALL_RSA,
        Purpose::Authority(CaType::Okta, _) => ALL_P256,
        Purpose::Authority(_, KeyKind::Ssh) => SSH_CA,
        Purpose::Authority(_, KeyKind::Tls | KeyKind::Jwt) => P256,
        Purpose::UserSsh | Purpose::HostSsh => SSH,
        Purpose::Ec2InstanceConnect => [Ed25519, Ed25519, EcdsaP256, Ed25519],
        Purpose::UserTls | Purpose::HostIdentity | Purpose::BotIdentity | Purpose::Svid => P256,
        Purpose::DatabaseClient | Purpose::DatabaseServer | Purpose::WindowsDesktop => ALL_RSA,
    }
}
