//! The kinds of resources, with every word that names them.

use std::fmt;

macro_rules! kinds {
    ($($variant:ident $word:literal [$($alias:literal),*] $built:ident,)+) => {
        /// A kind of resource. Kinds of parts that are not built yet are known by name, so that they can be refused by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $(#[doc = concat!("`", $word, "`")] $variant),+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name of the kind in documents, rules and on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads a kind, singular or plural, with the aliases that commands accept. Letter case is ignored.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                match word.to_ascii_lowercase().as_str() {
                    $($word $(| $alias)* => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Whether documents of this kind can be read and kept by this version.
            #[must_use]
            pub const fn is_supported(self) -> bool {
                match self { $(Self::$variant => kinds!(@$built)),+ }
            }
        }
    };
    (@built) => { true };
    (@later) => { false };
}

kinds! {
    Role "role" ["roles"] built,
    User "user" ["users"] built,
    Token "token" ["tokens"] built,
    Bot "bot" ["bots"] built,
    BotInstance "bot_instance" ["bot_instances", "bot-instance", "bot-instances"] built,
    Lock "lock" ["locks"] built,
    CertAuthority "cert_authority" ["cert_authorities", "cas", "ca"] built,
    ClusterName "cluster_name" [] built,
    AuthPreference "cluster_auth_preference" ["cluster_authentication_preferences", "cap", "auth_preference"] built,
    NetworkingConfig "cluster_networking_config" ["networking_config", "networking", "net_config", "netconfig"] built,
    SessionRecordingConfig "session_recording_config" ["recording_config", "session_recording", "rec_config", "recconfig"] built,
    AuditConfig "cluster_audit_config" ["audit_config"] built,
    App "app" ["apps"] built,
    AppServer "app_server" ["app_servers"] built,
    WatchStatus "watch_status" [] built,
    Node "node" ["nodes"] later,
    Database "db" ["dbs", "database", "databases"] later,
    DatabaseServer "db_server" ["db_servers"] later,
    DatabaseService "db_service" ["db_services"] later,
    KubeCluster "kube_cluster" ["kube_clusters"] later,
    KubeServer "kube_server" ["kube_servers"] later,
    WindowsDesktop "windows_desktop" ["windows_desktops"] later,
    WindowsDesktopService "windows_desktop_service" ["windows_desktop_services"] later,
    AuthServer "auth_server" ["auth_servers", "auth"] later,
    Proxy "proxy" ["proxies"] later,
    Session "session" ["sessions"] later,
    SessionTracker "session_tracker" ["session_trackers"] later,
    Event "event" ["events"] later,
    Instance "instance" ["instances"] later,
    WebSession "web_session" ["web_sessions"] later,
    WebToken "web_token" ["web_tokens"] later,
    UserToken "user_token" ["user_tokens"] later,
    StaticTokens "static_tokens" [] later,
    AuthConnector "auth_connector" ["connector", "connectors", "auth_connectors"] later,
    Oidc "oidc" [] later,
    Saml "saml" [] later,
    Github "github" [] later,
    OidcRequest "oidc_request" [] later,
    SamlRequest "saml_request" [] later,
    GithubRequest "github_request" [] later,
    TrustedCluster "trusted_cluster" ["trusted_clusters", "tc"] later,
    RemoteCluster "remote_cluster" ["remote_clusters", "rc", "rcs"] later,
    ReverseTunnel "tunnel" ["tunnels", "rts", "reverse_tunnel"] later,
    Namespace "namespace" ["namespaces"] later,
    WorkloadIdentity "workload_identity" ["workload_identities", "workload-identity"] later,
    WorkloadIdentityX509Revocation "workload_identity_x509_revocation" ["workload_identity_x509_revocations"] later,
    WorkloadIdentityX509IssuerOverride "workload_identity_x509_issuer_override" ["workload_identity_x509_issuer_overrides"] later,
    WorkloadIdentityX509IssuerOverrideCsr "workload_identity_x509_issuer_override_csr" [] later,
    SigstorePolicy "sigstore_policy" ["sigstore_policies"] later,
    SpiffeFederation "spiffe_federation" ["spiffe_federations"] later,
    AccessList "access_list" ["access_lists"] later,
    AccessRequest "access_request" ["access_requests", "request", "requests"] later,
    ClusterAlert "cluster_alert" ["cluster_alerts", "alert", "alerts"] later,
    UiConfig "ui_config" ["ui_configs"] later,
    Installer "installer" ["installers"] later,
    Device "device" ["devices"] later,
    Integration "integration" ["integrations"] later,
    DiscoveryConfig "discovery_config" ["discovery_configs"] later,
    Notification "notification" ["notifications"] later,
    MfaDevice "mfa_device" ["mfa_devices"] later,
    HeadlessAuthentication "headless_authentication" [] later,
    UserGroup "user_group" ["user_groups"] later,
    HostCert "host_cert" [] later,
    LoginRule "login_rule" ["login_rules"] later,
    SamlIdpServiceProvider "saml_idp_service_provider" ["saml_sp", "saml_sps"] later,
    Plugin "plugin" ["plugins"] later,
    GitServer "git_server" ["git_servers"] later,
    AutoUpdateConfig "autoupdate_config" [] later,
    AutoUpdateVersion "autoupdate_version" [] later,
    AutoUpdateAgentRollout "autoupdate_agent_rollout" [] later,
    AccessMonitoringRule "access_monitoring_rule" ["access_monitoring_rules"] later,
    VnetConfig "vnet_config" [] later,
    License "license" [] later,
    BillingSummary "billing" [] later,
    ExternalAuditStorage "external_audit_storage" [] later,
}

impl Kind {
    /// Whether there is exactly one resource of this kind in a cluster.
    #[must_use]
    pub const fn is_singleton(self) -> bool {
        self.singleton_name().is_some()
    }

    /// The fixed name of the only resource of this kind.
    #[must_use]
    pub const fn singleton_name(self) -> Option<&'static str> {
        match self {
            Self::AuthPreference => Some("cluster-auth-preference"),
            Self::NetworkingConfig => Some("cluster-networking-config"),
            Self::SessionRecordingConfig => Some("session-recording-config"),
            Self::AuditConfig => Some("cluster-audit-config"),
            Self::ClusterName => Some("cluster-name"),
            Self::StaticTokens => Some("static-tokens"),
            Self::WatchStatus => Some("watch-status"),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
