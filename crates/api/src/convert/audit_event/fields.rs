//! The fields of every typed event: `[parts whose keys lie in the event itself] fields`, with the JSON key where it differs.

use serde_json::Value;

use super::member::{Member, Object, Part};
use crate::r#gen::events::{self, one_of::Event};

macro_rules! parts {
    ($($message:ident { $([$($part:ident),*])? $($field:ident $(= $key:literal)?),* $(,)? })*) => {$(
        impl Part for events::$message {
            fn read(object: &Object) -> Self {
                Self {
                    $($($part: Some(Part::read(object)),)*)?
                    $($field: Member::read(object.get(key!($field $($key)?))),)*
                }
            }

            fn write(&self, object: &mut Object) {
                $($(if let Some(part) = &self.$part { part.write(object); })*)?
                let members: &[(&str, Option<Value>)] = &[$((key!($field $($key)?), self.$field.write())),*];
                let present = members.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.clone()?)));
                object.extend(present);
            }
        }
    )*};
}

macro_rules! key {
    ($field:ident $key:literal) => {
        $key
    };
    ($field:ident) => {
        stringify!($field)
    };
}

macro_rules! kinds {
    ($($($name:literal)|+ => $message:ident),* $(,)?) => {
        /// The event of a name; `None` when it has no typed message.
        pub(super) fn read(name: &str, object: &Object) -> Option<Event> {
            Some(match name {
                $($($name)|+ => Event::$message(Part::read(object)),)*
                _ => return None,
            })
        }

        /// Adds the fields of an event.
        pub(super) fn write(event: &Event, object: &mut Object) {
            match event {
                $(Event::$message(message) => message.write(object),)*
            }
        }

        /// Every name that has a typed message.
        #[cfg(test)]
        pub(in crate::convert) const NAMES: &[&str] = &[$($($name),+),*];
    };
}

parts! {
    Metadata { index = "ei", r#type = "event", id = "uid", code, time, cluster_name }
    DeviceMetadata {
        device_id, os_type, asset_tag, credential_id, device_origin, web_authentication, web_authentication_id
    }
    UserMetadata {
        user, login, impersonator, aws_role_arn, access_requests, azure_identity, gcp_service_account,
        trusted_device, required_private_key_policy, user_kind, bot_name, bot_instance_id, user_origin,
        user_roles, user_traits, user_cluster_name
    }
    ResourceMetadata { name, expires, updated_by, ttl = "ttl" }
    ConnectionMetadata { local_addr = "addr.local", remote_addr = "addr.remote", protocol = "proto" }
    Status { success, error, user_message = "message" }
    ClientMetadata { user_agent }
    SessionMetadata { session_id = "sid", with_mfa, private_key_policy }
    ServerMetadata {
        server_namespace = "namespace", server_id, server_hostname, server_addr, server_labels, forwarded_by,
        server_sub_kind, server_version
    }
    AppMetadata { app_uri, app_public_addr, app_labels, app_name, app_target_port }
    MfaDeviceMetadata { device_name = "mfa_device_name", device_id = "mfa_device_uuid", device_type = "mfa_device_type" }
    LockMetadata { target }
    DeviceExtensions { device_id, asset_tag, credential_id }
    ResourceId { cluster_name, kind, name, sub_resource_name }
    RouteToApp {
        name, session_id, public_addr, cluster_name, aws_role_arn, azure_identity, gcp_service_account, uri,
        target_port
    }
    RouteToDatabase { service_name, protocol, username, database, roles }
    Identity {
        user, impersonator, roles, usage, logins, kubernetes_groups, kubernetes_users, expires,
        route_to_cluster, kubernetes_cluster, traits, route_to_app, teleport_cluster, route_to_database,
        database_names, database_users, mfa_device_uuid, client_ip, aws_role_ar_ns = "aws_role_arns",
        access_requests, disallow_reissue, allowed_resource_i_ds = "allowed_resource_ids",
        previous_identity_expires, azure_identities, gcp_service_accounts = "gcp_service_accounts",
        private_key_policy, bot_name, device_extensions, bot_instance_id, join_token, bot_internal
    }
    LabelSelector { key, values }
    CertificateAuthority { r#type, domain, subject_key_id }
    RenewableCertificateGenerationMismatch { [metadata, user_metadata] }
    UserLogin {
        [metadata, user, status, client, connection] method, identity_attributes = "attributes", mfa_device,
        applied_login_rules
    }
    UserCreate { [metadata, user, resource, connection] roles, connector }
    UserDelete { [metadata, user, resource, connection] }
    UserPasswordChange { [metadata, user, connection] }
    AuthAttempt { [metadata, user, connection, status] }
    UserTokenCreate { [metadata, resource, user] }
    RoleCreate { [metadata, resource, user, connection] }
    RoleDelete { [metadata, resource, user, connection] }
    AppSessionStart { [metadata, user, session, server, connection, app] public_addr }
    AppSessionChunk { [metadata, user, session, server, connection, app] session_chunk_id }
    AppSessionRequest { [metadata, app] status_code, path, raw_query, method }
    MfaDeviceAdd { [metadata, user, device, connection] }
    MfaDeviceDelete { [metadata, user, device, connection] }
    LockCreate { [metadata, resource, user] target, lock }
    LockDelete { [metadata, resource, user] lock }
    AppCreate { [metadata, user, resource, app] }
    AppUpdate { [metadata, user, resource, app] }
    AppDelete { [metadata, user, resource] }
    CertificateCreate { [metadata, client] certificate_type = "cert_type", identity, certificate_authority }
    AppSessionEnd { [metadata, user, session, server, connection, app] }
    BotJoin { [metadata, status, connection] bot_name, method, token_name, attributes, user_name, bot_instance_id }
    InstanceJoin {
        [metadata, status, connection] host_id, node_name, role, method, token_name, attributes, token_expires,
        roles
    }
    ProvisionTokenCreate { [metadata, resource, user] roles, join_method }
    RoleUpdate { [metadata, resource, user, connection] }
    UserUpdate { [metadata, user, resource, connection] roles, connector }
    BotCreate { [metadata, resource, user] }
    BotDelete { [metadata, resource, user] }
    BotUpdate { [metadata, resource, user] }
    CreateMfaAuthChallenge { [metadata, user] challenge_scope, challenge_allow_reuse }
    ValidateMfaAuthResponse { [metadata, user, status] mfa_device, challenge_scope, challenge_allow_reuse }
    SpiffesvidIssued {
        [metadata, user, connection] spiffeid = "spiffe_id", dnssa_ns = "dns_sans", ipsa_ns = "ip_sans",
        svid_type = "svid_type", serial_number, hint, jti, audiences, workload_identity,
        workload_identity_revision, attributes, name_selector, label_selectors
    }
    AuthPreferenceUpdate { [metadata, status, user, connection] admin_actions_mfa = "admin_actions_mfa" }
    SessionRecordingConfigUpdate { [metadata, status, user, connection] }
    ClusterNetworkingConfigUpdate { [metadata, status, user, connection] }
    SpiffeFederationCreate { [metadata, resource, user, connection] }
    SpiffeFederationDelete { [metadata, resource, user, connection] }
    WorkloadIdentityCreate { [metadata, resource, user, connection] workload_identity_data }
    WorkloadIdentityUpdate { [metadata, resource, user, connection] workload_identity_data }
    WorkloadIdentityDelete { [metadata, resource, user, connection] }
}

kinds! {
    "user.login" => UserLogin,
    "user.create" => UserCreate,
    "user.delete" => UserDelete,
    "user.password_change" => UserPasswordChange,
    "auth" => AuthAttempt,
    "reset_password_token.create" | "recovery_token.create" | "privilege_token.create" => UserTokenCreate,
    "role.created" => RoleCreate,
    "role.deleted" => RoleDelete,
    "app.session.start" => AppSessionStart,
    "app.session.chunk" => AppSessionChunk,
    "app.session.request" => AppSessionRequest,
    "mfa.add" => MfaDeviceAdd,
    "mfa.delete" => MfaDeviceDelete,
    "lock.created" => LockCreate,
    "lock.deleted" => LockDelete,
    "app.create" => AppCreate,
    "app.update" => AppUpdate,
    "app.delete" => AppDelete,
    "cert.create" => CertificateCreate,
    "cert.generation_mismatch" => RenewableCertificateGenerationMismatch,
    "app.session.end" => AppSessionEnd,
    "bot.join" => BotJoin,
    "instance.join" => InstanceJoin,
    "join_token.create" => ProvisionTokenCreate,
    "role.updated" => RoleUpdate,
    "user.update" => UserUpdate,
    "bot.create" => BotCreate,
    "bot.delete" => BotDelete,
    "bot.update" => BotUpdate,
    "mfa_auth_challenge.create" => CreateMfaAuthChallenge,
    "mfa_auth_challenge.validate" => ValidateMfaAuthResponse,
    "spiffe.svid.issued" => SpiffesvidIssued,
    "auth_preference.update" => AuthPreferenceUpdate,
    "session_recording_config.update" => SessionRecordingConfigUpdate,
    "cluster_networking_config.update" => ClusterNetworkingConfigUpdate,
    "spiffe.federation.create" => SpiffeFederationCreate,
    "spiffe.federation.delete" => SpiffeFederationDelete,
    "workload_identity.create" => WorkloadIdentityCreate,
    "workload_identity.update" => WorkloadIdentityUpdate,
    "workload_identity.delete" => WorkloadIdentityDelete,
}
