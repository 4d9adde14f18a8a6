//! `spec.options` of a role.

use std::time::Duration;

use super::choices::{CreateDatabaseUserMode, CreateHostUserMode, RequireMfa, WebTerminalClipboardMode, require_mfa};
use crate::form::{duration, scalar};

document! {
    /// How the role's holders may do what they may do. How several roles merge is `rbac`'s part.
    pub struct RoleOptions {
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        +forward_agent: bool,
        #[serde(with = "duration::go")]
        max_session_ttl: Duration,
        /// Deprecated in favour of `ssh_port_forwarding`.
        #[serde(deserialize_with = "scalar::option::deserialize")]
        port_forwarding: Option<bool>,
        +cert_format: String,
        #[serde(with = "duration::go")]
        client_idle_timeout: Duration,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        disconnect_expired_cert: bool,
        enhanced_recording: Vec<String>,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        permit_x11_forwarding: bool,
        max_connections: i64,
        max_sessions: i64,
        request_access: String,
        request_prompt: String,
        lock: String,
        +record_session: Option<RecordSession>,
        #[serde(deserialize_with = "scalar::option::deserialize")]
        +desktop_clipboard: Option<bool>,
        cert_extensions: Vec<CertExtension>,
        max_kubernetes_connections: i64,
        #[serde(deserialize_with = "scalar::option::deserialize")]
        +desktop_directory_sharing: Option<bool>,
        #[serde(deserialize_with = "scalar::option::deserialize")]
        create_host_user: Option<bool>,
        #[serde(deserialize_with = "scalar::switch::deserialize")]
        +pin_source_ip: bool,
        #[serde(deserialize_with = "scalar::option::deserialize")]
        +ssh_file_copy: Option<bool>,
        #[serde(with = "require_mfa")]
        require_session_mfa: RequireMfa,
        device_trust_mode: String,
        idp: Option<IdpOptions>,
        #[serde(deserialize_with = "scalar::option::deserialize")]
        +create_desktop_user: Option<bool>,
        #[serde(deserialize_with = "scalar::option::deserialize")]
        +create_db_user: Option<bool>,
        create_host_user_mode: CreateHostUserMode,
        create_db_user_mode: CreateDatabaseUserMode,
        #[serde(with = "duration::go")]
        mfa_verification_interval: Duration,
        create_host_user_default_shell: String,
        ssh_port_forwarding: Option<SshPortForwarding>,
        web_terminal_clipboard_mode: WebTerminalClipboardMode,
    }
}

document! {
    /// What is recorded, and what happens when it cannot be.
    pub struct RecordSession {
        #[serde(deserialize_with = "scalar::option::deserialize")]
        +desktop: Option<bool>,
        default: String,
        ssh: String,
    }
}

document! {
    /// An extension that is put into SSH certificates.
    pub struct CertExtension {
        #[serde(rename = "type")]
        +extension_type: CertExtensionType,
        +mode: CertExtensionMode,
        +name: String,
        +value: String,
    }
}

choice! {
    /// In which certificates the extension is put.
    pub enum CertExtensionType {
        #[default]
        Ssh = 0 "ssh" also "SSH",
    }
}

choice! {
    /// As what the extension is put there.
    pub enum CertExtensionMode {
        #[default]
        Extension = 0 "extension" also "EXTENSION",
    }
}

document! {
    /// The identity provider that the cluster is.
    pub struct IdpOptions {
        +saml: Option<IdpSamlOptions>,
    }
}

document! {
    /// The SAML half of it.
    pub struct IdpSamlOptions {
        #[serde(deserialize_with = "scalar::option::deserialize")]
        +enabled: Option<bool>,
    }
}

document! {
    /// Which directions of SSH port forwarding are allowed.
    pub struct SshPortForwarding {
        local: Option<PortForwarding>,
        remote: Option<PortForwarding>,
    }
}

document! {
    /// One direction of SSH port forwarding.
    pub struct PortForwarding {
        #[serde(deserialize_with = "scalar::option::deserialize")]
        enabled: Option<bool>,
    }
}
