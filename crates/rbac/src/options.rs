//! How the options of several roles merge (features §5.2): the stricter one wins where an option limits, any role's yes
//! counts where it switches something on, every role's yes is needed where it must not be switched off.

use std::{collections::BTreeSet, time::Duration};

use domain::resources::role::{CertExtension, RequireMfa, RoleOptions, WebTerminalClipboardMode};

use crate::checker::AccessChecker;

/// What happens when locks cannot be looked up freshly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum LockingMode {
    /// What was last known counts.
    #[default]
    BestEffort,
    /// Everything is refused.
    Strict,
}

impl LockingMode {
    /// Reads `strict` or `best_effort`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "strict" => Some(Self::Strict),
            "best_effort" => Some(Self::BestEffort),
            _ => None,
        }
    }

    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::BestEffort => "best_effort",
        }
    }
}

/// What happens when a session cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum RecordingMode {
    /// The session goes on.
    #[default]
    BestEffort,
    /// The session ends.
    Strict,
}

impl RecordingMode {
    fn parse(word: &str) -> Self {
        if word == "strict" { Self::Strict } else { Self::BestEffort }
    }
}

/// How access is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum RequestStrategy {
    /// When somebody wants to.
    #[default]
    Optional,
    /// At each login.
    Always,
    /// At each login, and with a reason.
    Reason,
}

impl RequestStrategy {
    fn parse(word: &str) -> Self {
        match word {
            "always" => Self::Always,
            "reason" => Self::Reason,
            _ => Self::Optional,
        }
    }
}

/// The options of all roles of an identity, merged.
///
/// Users that are made for a session are not here: only the roles that reach a host or a database count for it, see
/// [`AccessChecker::host_user`] and [`AccessChecker::database_user`].
#[derive(Debug, Clone, PartialEq)]
pub struct MergedOptions {
    /// The longest life of a certificate. Zero when the identity holds no role: then it gets none.
    pub max_session_ttl: Duration,
    /// After how long without traffic a session ends; none: never.
    pub client_idle_timeout: Option<Duration>,
    /// How often a second factor is asked for; none: once.
    pub mfa_verification_interval: Option<Duration>,
    /// Most sessions on one connection.
    pub max_sessions: Option<u64>,
    /// Most connections at a time.
    pub max_connections: Option<u64>,
    /// Most connections to Kubernetes at a time.
    pub max_kubernetes_connections: Option<u64>,
    /// Whether an SSH agent may be forwarded.
    pub forward_agent: bool,
    /// Whether ports may be forwarded to where the session is.
    pub local_port_forwarding: bool,
    /// Whether ports may be forwarded back.
    pub remote_port_forwarding: bool,
    /// Whether X11 may be forwarded.
    pub permit_x11_forwarding: bool,
    /// Whether a connection ends with its certificate.
    pub disconnect_expired_cert: bool,
    /// Whether a certificate is good only from the address that asked for it.
    pub pin_source_ip: bool,
    /// Which second factor a session needs.
    pub require_session_mfa: RequireMfa,
    /// Whether a desktop user is made for a session.
    pub create_desktop_user: bool,
    /// Whether files may be copied over SSH.
    pub ssh_file_copy: bool,
    /// Whether the clipboard of desktops is shared.
    pub desktop_clipboard: bool,
    /// Whether directories are shared with desktops.
    pub desktop_directory_sharing: bool,
    /// Whether desktop sessions are recorded.
    pub record_desktop: bool,
    /// The locking mode, when a role says so; else the cluster's counts.
    pub lock: Option<LockingMode>,
    /// What happens when an SSH session cannot be recorded.
    pub record_ssh: RecordingMode,
    /// What happens when any other session cannot be recorded.
    pub record_default: RecordingMode,
    /// Whether a trusted device is required of everybody, bots too.
    pub device_trust_required: bool,
    /// Whether a trusted device is required of people.
    pub device_trust_required_of_people: bool,
    /// Whether the old certificate format for old OpenSSH is asked for.
    pub old_ssh_certificates: bool,
    /// Whether access is asked for by itself at the login, and with a reason.
    pub request_strategy: RequestStrategy,
    /// What people are told to ask for.
    pub request_prompts: Vec<String>,
    /// Whether the cluster may be used as a SAML identity provider.
    pub saml_provider: bool,
    /// Whether nothing may be copied out of the web terminal.
    pub web_terminal_no_copy: bool,
    /// The extensions of SSH certificates: those of every role, the first of a name counts.
    pub cert_extensions: Vec<CertExtension>,
    /// What is recorded beyond the terminal: of every role.
    pub enhanced_recording: BTreeSet<String>,
}

impl AccessChecker {
    /// The options of all roles, merged.
    #[must_use]
    pub const fn options(&self) -> &MergedOptions {
        &self.options
    }

    /// How long a certificate may live that was asked for with this life.
    #[must_use]
    pub fn session_ttl(&self, asked: Duration) -> Duration {
        asked.min(self.options().max_session_ttl)
    }

    /// The locking mode: `strict` if any role says so, else what the roles say, else the cluster's.
    #[must_use]
    pub fn locking_mode(&self, cluster: LockingMode) -> LockingMode {
        self.options().lock.unwrap_or(cluster)
    }
}

fn shortest<'a>(roles: &[&'a RoleOptions], of: impl Fn(&'a RoleOptions) -> Duration) -> Option<Duration> {
    roles.iter().map(|role| of(role)).filter(|span| !span.is_zero()).min()
}

fn lowest<'a>(roles: &[&'a RoleOptions], of: impl Fn(&'a RoleOptions) -> i64) -> Option<u64> {
    roles.iter().filter_map(|role| u64::try_from(of(role)).ok()).filter(|limit| *limit > 0).min()
}

impl MergedOptions {
    /// Merges options.
    #[must_use]
    pub fn of(roles: &[&RoleOptions]) -> Self {
        let any = |of: fn(&RoleOptions) -> bool| roles.iter().any(|role| of(role));
        let every = |of: fn(&RoleOptions) -> bool| !roles.is_empty() && roles.iter().all(|role| of(role));
        let recording = |of: fn(&domain::resources::role::RecordSession) -> &str| {
            let modes = roles.iter().filter_map(|role| role.record_session.as_ref());
            modes.map(|record| RecordingMode::parse(of(record))).max().unwrap_or_default()
        };
        Self {
            max_session_ttl: shortest(roles, |role| role.max_session_ttl).unwrap_or_default(),
            client_idle_timeout: shortest(roles, |role| role.client_idle_timeout),
            mfa_verification_interval: shortest(roles, |role| role.mfa_verification_interval),
            max_sessions: lowest(roles, |role| role.max_sessions),
            max_connections: lowest(roles, |role| role.max_connections),
            max_kubernetes_connections: lowest(roles, |role| role.max_kubernetes_connections),
            forward_agent: any(|role| role.forward_agent),
            local_port_forwarding: any(|role| forwards(role, true)),
            remote_port_forwarding: any(|role| forwards(role, false)),
            permit_x11_forwarding: any(|role| role.permit_x11_forwarding),
            disconnect_expired_cert: any(|role| role.disconnect_expired_cert),
            pin_source_ip: any(|role| role.pin_source_ip),
            require_session_mfa: strictest_mfa(roles),
            create_desktop_user: every(|role| role.create_desktop_user == Some(true)),
            ssh_file_copy: every(|role| role.ssh_file_copy != Some(false)),
            desktop_clipboard: every(|role| role.desktop_clipboard != Some(false)),
            desktop_directory_sharing: every(|role| role.desktop_directory_sharing != Some(false)),
            record_desktop: any(|role| role.record_session.as_ref().is_none_or(|record| record.desktop != Some(false))),
            lock: roles.iter().filter_map(|role| LockingMode::parse(&role.lock)).max(),
            record_ssh: recording(|record| if record.ssh.is_empty() { &record.default } else { &record.ssh }),
            record_default: recording(|record| &record.default),
            device_trust_required: any(|role| role.device_trust_mode == "required"),
            device_trust_required_of_people: any(|role| role.device_trust_mode.starts_with("required")),
            old_ssh_certificates: any(|role| role.cert_format == "oldssh"),
            request_strategy: roles
                .iter()
                .map(|role| RequestStrategy::parse(&role.request_access))
                .max()
                .unwrap_or_default(),
            request_prompts: prompts(roles),
            saml_provider: every(|role| {
                let saml = role.idp.as_ref().and_then(|idp| idp.saml.as_ref());
                saml.and_then(|saml| saml.enabled) != Some(false)
            }),
            web_terminal_no_copy: any(|role| role.web_terminal_clipboard_mode == WebTerminalClipboardMode::NoCopy),
            cert_extensions: extensions(roles),
            enhanced_recording: roles.iter().flat_map(|role| role.enhanced_recording.iter().cloned()).collect(),
        }
    }
}

/// Whether a role lets ports be forwarded in a direction. What `ssh_port_forwarding` says comes before the old switch; a
/// role that says nothing at all allows it, as it always did.
fn forwards(role: &RoleOptions, local: bool) -> bool {
    let direction = role.ssh_port_forwarding.as_ref().and_then(|part| {
        let part = if local { part.local.as_ref() } else { part.remote.as_ref() };
        part.and_then(|part| part.enabled)
    });
    direction.or(role.port_forwarding).unwrap_or(true)
}

/// The demands of all roles together: touch here and a PIN there is touch and PIN.
fn strictest_mfa(roles: &[&RoleOptions]) -> RequireMfa {
    use RequireMfa::{HardwareKeyPin, HardwareKeyTouch, HardwareKeyTouchAndPin};
    roles.iter().map(|role| role.require_session_mfa).fold(RequireMfa::Off, |a, b| match (a, b) {
        (HardwareKeyTouch, HardwareKeyPin) | (HardwareKeyPin, HardwareKeyTouch) => HardwareKeyTouchAndPin,
        (a, b) if b.number() > a.number() => b,
        (a, _) => a,
    })
}

fn prompts(roles: &[&RoleOptions]) -> Vec<String> {
    let mut prompts: Vec<String> = roles.iter().map(|role| role.request_prompt.clone()).collect();
    prompts.retain(|prompt| !prompt.is_empty());
    prompts.dedup();
    prompts
}

fn extensions(roles: &[&RoleOptions]) -> Vec<CertExtension> {
    let mut merged: Vec<CertExtension> = Vec::new();
    for extension in roles.iter().flat_map(|role| &role.cert_extensions) {
        if !merged.iter().any(|known| known.name == extension.name) {
            merged.push(extension.clone());
        }
    }
    merged
}
