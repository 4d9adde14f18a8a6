//! `session_recording_config` v2: where sessions are recorded.

use crate::{Error, form::scalar, metadata, resources::resource};

resource!(
    /// Where sessions are recorded.
    SessionRecordingConfig(SessionRecordingConfig), "v2" of ["v2"], SessionRecordingConfigSpec
);

document! {
    /// Where sessions are recorded.
    pub struct SessionRecordingConfigSpec {
        +mode: String,
        #[serde(deserialize_with = "scalar::option::deserialize")]
        +proxy_checks_host_keys: Option<bool>,
    }
}

impl SessionRecordingConfig {
    /// The configuration of a cluster that says nothing.
    #[must_use]
    pub fn standard() -> Self {
        let mut config = Self::default();
        config.metadata.labels.insert(metadata::ORIGIN.to_owned(), "defaults".to_owned());
        crate::Resource::set_defaults(&mut config);
        config
    }

    fn fill(&mut self) {
        if self.spec.mode.is_empty() {
            "node".clone_into(&mut self.spec.mode);
        }
        self.spec.proxy_checks_host_keys.get_or_insert(true);
        self.metadata.labels.entry(metadata::ORIGIN.to_owned()).or_insert_with(|| "dynamic".to_owned());
    }

    fn check(&self) -> Result<(), Error> {
        const MODES: [&str; 5] = ["node", "proxy", "off", "node-sync", "proxy-sync"];
        if MODES.contains(&self.spec.mode.as_str()) {
            return Ok(());
        }
        Err(Error::invalid(format!("spec.mode: must be one of {}, found {:?}", MODES.join(", "), self.spec.mode)))
    }
}
