//! Applications.

use domain::resources::app::{
    App, AppAws, AppIdentityCenter, AppSpec, CommandLabel, CorsPolicy, Header, IdentityCenterPermissionSet, PortRange,
    Rewrite,
};

use super::wire::{message, resource};
use crate::r#gen::types;

message! {
    AppSpec without [use_any_proxy_public_addr, mcp] => types::AppSpecV3 {
        uri, public_addr, dynamic_labels, insecure_skip_verify, rewrite, aws, cloud, user_groups,
        integration, required_app_names, cors, identity_center, tcp_ports
    }
    CommandLabel => types::CommandLabelV2 {
        period, command, result
    }
    Rewrite => types::Rewrite {
        redirect, headers, jwt_claims
    }
    Header => types::Header {
        name, value
    }
    AppAws => types::AppAws {
        external_id
    }
    CorsPolicy => types::CorsPolicy {
        allowed_origins, allowed_methods, allowed_headers, allow_credentials, max_age, exposed_headers
    }
    AppIdentityCenter => types::AppIdentityCenter {
        account_id, permission_sets
    }
    IdentityCenterPermissionSet => types::IdentityCenterPermissionSet {
        arn, name, assignment_id
    }
    PortRange => types::PortRange {
        port, end_port
    }
}

resource!(App => types::AppV3);
