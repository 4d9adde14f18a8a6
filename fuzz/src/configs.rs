//! Configuration files of the bot and of the server.

use bot::config::{Config, Destination, Overrides};

use crate::text;

/// `tbot.yaml`, of both versions, and join URIs.
pub fn bot_config(data: &[u8]) {
    let text = text(data);
    if let Ok(config) = Config::parse(&text, "fuzz") {
        let _ = (config.check_supported(), config.names(), config.interval(), config.ttl());
        let yaml = config.to_yaml();
        assert!(Config::parse(&yaml, "written").is_ok(), "what is written is read:\n{yaml}");
    }
    let _ = bot::config::migrate(&text, "fuzz");
    let line = text.lines().next().unwrap_or_default();
    let _ = Destination::from_uri(line);
    let _ = Config::load(None, Overrides { join_uri: Some(line.to_owned()), ..Overrides::default() });
}

/// `teleport.yaml`, and the documents that go with the server.
pub fn server_config(data: &[u8]) {
    if let Ok(config) = daemon::config::Config::from_text(&text(data), "fuzz") {
        let _ = config.cluster_name();
        let effective = config.effective();
        assert!(
            daemon::config::Config::from_text(&effective, "effective").is_ok(),
            "what is shown is read:\n{effective}"
        );
    }
}
