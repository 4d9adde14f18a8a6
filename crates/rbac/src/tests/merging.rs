use std::time::Duration;

use domain::resources::role::{
    CertExtension, IdpOptions, IdpSamlOptions, PortForwarding, RecordSession, RequireMfa, RoleOptions,
    SshPortForwarding, WebTerminalClipboardMode,
};

use super::*;
use crate::{LockingMode, RecordingMode, RequestStrategy};

fn merged(options: impl IntoIterator<Item = RoleOptions>) -> crate::MergedOptions {
    checker(options.into_iter().enumerate().map(|(i, options)| role(&i.to_string(), |spec| spec.options = options)))
        .options()
        .clone()
}

#[test]
fn the_stricter_option_wins() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let a = RoleOptions {
        max_session_ttl: hours(8),
        client_idle_timeout: hours(2),
        max_sessions: 4,
        forward_agent: true,
        lock: "best_effort".into(),
        record_session: Some(RecordSession {
            default: "strict".into(),
            ssh: "best_effort".into(),
            ..RecordSession::default()
        }),
        require_session_mfa: RequireMfa::HardwareKeyPin,
        desktop_clipboard: Some(false),
        request_access: "reason".into(),
        request_prompt: "ask".into(),
        web_terminal_clipboard_mode: WebTerminalClipboardMode::NoCopy,
        idp: Some(IdpOptions { saml: Some(IdpSamlOptions { enabled: Some(false) }) }),
        port_forwarding: Some(false),
        cert_extensions: vec![CertExtension { name: "x".into(), value: "1".into(), ..CertExtension::default() }],
        ..RoleOptions::default()
    };
    let b = RoleOptions {
        max_session_ttl: hours(12),
        max_sessions: 2,
        max_connections: 7,
        pin_source_ip: true,
        lock: "strict".into(),
        request_access: "always".into(),
        web_terminal_clipboard_mode: WebTerminalClipboardMode::Unrestricted,
        ssh_file_copy: Some(false),
        require_session_mfa: RequireMfa::HardwareKeyTouch,
        ssh_port_forwarding: Some(SshPortForwarding {
            local: Some(PortForwarding { enabled: Some(true) }),
            remote: Some(PortForwarding { enabled: Some(false) }),
        }),
        cert_extensions: vec![CertExtension { name: "x".into(), value: "2".into(), ..CertExtension::default() }],
        ..RoleOptions::default()
    };
    for both in [merged([a.clone(), b.clone()]), merged([b, a])] {
        assert_eq!(both.max_session_ttl, hours(8));
        assert_eq!(both.client_idle_timeout, Some(hours(2)));
        assert_eq!(both.mfa_verification_interval, None);
        assert_eq!((both.max_sessions, both.max_connections), (Some(2), Some(7)));
        assert!(both.forward_agent && both.pin_source_ip && !both.disconnect_expired_cert);
        assert!(!both.ssh_file_copy && !both.desktop_clipboard && both.desktop_directory_sharing);
        assert_eq!(both.lock, Some(LockingMode::Strict));
        assert_eq!((both.record_default, both.record_ssh), (RecordingMode::Strict, RecordingMode::BestEffort));
        assert_eq!(both.require_session_mfa, RequireMfa::HardwareKeyTouchAndPin);
        assert!(both.local_port_forwarding && !both.remote_port_forwarding);
        assert_eq!(both.cert_extensions.len(), 1);
        assert_eq!((both.request_strategy, both.request_prompts), (RequestStrategy::Reason, vec!["ask".to_owned()]));
        assert!(both.web_terminal_no_copy && !both.saml_provider);
    }
}

#[test]
fn silence_has_its_defaults_and_no_role_gives_nothing() {
    let one = merged([RoleOptions::default()]);
    assert_eq!(one.max_session_ttl, Duration::from_secs(30 * 3600));
    assert!(one.local_port_forwarding && one.ssh_file_copy && !one.create_desktop_user);
    let none = merged([]);
    assert_eq!(none.max_session_ttl, Duration::ZERO);
    assert!(!none.ssh_file_copy && !none.local_port_forwarding && !none.desktop_clipboard);
    assert_eq!(checker([]).locking_mode(LockingMode::Strict), LockingMode::Strict);
    let checker = checker([role("r", |spec| spec.options.lock = "best_effort".into())]);
    assert_eq!(checker.locking_mode(LockingMode::Strict), LockingMode::BestEffort);
    assert_eq!(checker.session_ttl(Duration::from_secs(60)), Duration::from_secs(60));
}
