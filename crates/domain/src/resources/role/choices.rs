//! The closed lists of words in a role.

choice! {
    /// Whether a session asks for a second factor or a hardware key.
    pub enum RequireMfa {
        #[default]
        Off = 0 "false" also "no" | "off" | "n" | "OFF",
        Session = 1 "true" also "yes" | "on" | "y" | "SESSION",
        SessionAndHardwareKey = 2 "hardware_key" also "SESSION_AND_HARDWARE_KEY",
        HardwareKeyTouch = 3 "hardware_key_touch" also "HARDWARE_KEY_TOUCH",
        HardwareKeyPin = 4 "hardware_key_pin" also "HARDWARE_KEY_PIN",
        HardwareKeyTouchAndPin = 5 "hardware_key_touch_and_pin" also "HARDWARE_KEY_TOUCH_AND_PIN",
    }
}

/// `false` and `true` are written as switches, the rest as words.
pub mod require_mfa {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::RequireMfa;

    /// Reads a switch or a word.
    ///
    /// # Errors
    /// When it is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RequireMfa, D::Error> {
        RequireMfa::deserialize(deserializer)
    }

    /// Writes a switch or a word.
    ///
    /// # Errors
    /// When the serializer fails.
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    pub fn serialize<S: Serializer>(value: &RequireMfa, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            RequireMfa::Off => serializer.serialize_bool(false),
            RequireMfa::Session => serializer.serialize_bool(true),
            word => serializer.serialize_str(word.as_str()),
        }
    }
}

choice! {
    /// What becomes of a host user made for a session. The old `drop` is read as `insecure-drop`.
    pub enum CreateHostUserMode {
        #[default]
        Unspecified = 0 "" also "HOST_USER_MODE_UNSPECIFIED",
        Off = 1 "off" also "false" | "HOST_USER_MODE_OFF",
        /// Only from the wire.
        Drop = 2 "HOST_USER_MODE_DROP",
        Keep = 3 "keep" also "HOST_USER_MODE_KEEP",
        InsecureDrop = 4 "insecure-drop" also "drop" | "HOST_USER_MODE_INSECURE_DROP",
    }
}

choice! {
    /// What becomes of a database user made for a session.
    pub enum CreateDatabaseUserMode {
        #[default]
        Unspecified = 0 "" also "DB_USER_MODE_UNSPECIFIED",
        Off = 1 "off" also "false" | "DB_USER_MODE_OFF",
        Keep = 2 "keep" also "DB_USER_MODE_KEEP",
        BestEffortDrop = 3 "best_effort_drop" also "DB_USER_MODE_BEST_EFFORT_DROP",
    }
}

choice! {
    /// What the web terminal's clipboard may do.
    pub enum WebTerminalClipboardMode {
        #[default]
        Unspecified = 0 "" also "WEB_TERMINAL_CLIPBOARD_MODE_UNSPECIFIED",
        Unrestricted = 1 "unrestricted" also "WEB_TERMINAL_CLIPBOARD_MODE_UNRESTRICTED",
        NoCopy = 2 "no_copy" also "WEB_TERMINAL_CLIPBOARD_MODE_NO_COPY",
    }
}
