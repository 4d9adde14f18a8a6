//! Certificate authorities.

use domain::resources::cert_authority::{
    CertAuthority, CertAuthoritySpec, JwtKeyPair, KeySet, PrivateKeyType, RoleMapping, Rotation, RotationSchedule,
    SshKeyPair, TlsKeyPair,
};

use super::wire::{message, numbers, resource, words};
use crate::r#gen::types;

message! {
    CertAuthoritySpec => types::CertAuthoritySpecV2 {
        ca_type = r#type, cluster_name, roles, role_map, rotation, signing_alg, active_keys,
        additional_trusted_keys
    }
    RoleMapping => types::RoleMapping {
        remote, local
    }
    KeySet => types::CaKeySet {
        ssh, tls, jwt
    }
    SshKeyPair => types::SshKeyPair {
        public_key, private_key, private_key_type
    }
    TlsKeyPair => types::TlsKeyPair {
        cert, key, key_type
    }
    JwtKeyPair => types::JwtKeyPair {
        public_key, private_key, private_key_type
    }
    Rotation => types::Rotation {
        state, phase, mode, current_id, started, grace_period, last_rotated, schedule
    }
    RotationSchedule => types::RotationSchedule {
        update_clients, update_servers, standby
    }
}

numbers!(PrivateKeyType);
words!(domain::ca::CaType);
resource!(CertAuthority => types::CertAuthorityV2);
