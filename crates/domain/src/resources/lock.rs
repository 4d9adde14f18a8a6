//! `lock` v2: who is shut out, why and how long.

use jiff::Timestamp;

use crate::{
    Error,
    form::time,
    resources::{resource, token},
};

resource!(
    /// A lock.
    Lock(Lock), "v2" of ["v2"], LockSpec
);

document! {
    /// Whom a lock hits, and how long.
    pub struct LockSpec {
        +target: LockTarget,
        message: String,
        #[serde(with = "time::option")]
        expires: Option<Timestamp>,
        #[serde(with = "time::always")]
        +created_at: Option<Timestamp>,
        created_by: String,
    }
}

document! {
    /// Whoever matches any of these is hit.
    pub struct LockTarget {
        user: String,
        role: String,
        login: String,
        /// Deprecated in favour of `server_id`.
        node: String,
        mfa_device: String,
        windows_desktop: String,
        access_request: String,
        device: String,
        server_id: String,
        bot_instance_id: String,
        join_token: String,
    }
}

impl LockTarget {
    /// The fields that are set, as `(name, value)`.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("user", &self.user),
            ("role", &self.role),
            ("login", &self.login),
            ("node", &self.node),
            ("mfa_device", &self.mfa_device),
            ("windows_desktop", &self.windows_desktop),
            ("access_request", &self.access_request),
            ("device", &self.device),
            ("server_id", &self.server_id),
            ("bot_instance_id", &self.bot_instance_id),
            ("join_token", &self.join_token),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, value.as_str()))
    }

    /// Whether no field is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields().next().is_none()
    }

    /// The target as logs and whoever is hit may read it: the name of a join token may be its secret, and whoever is hit
    /// may be so for another field.
    #[must_use]
    pub fn masked(&self) -> Self {
        Self { join_token: token::mask(&self.join_token), ..self.clone() }
    }

    /// The target as the refusal names it: `User:"alice"`.
    #[must_use]
    pub fn describe(&self) -> String {
        let shown = self.masked();
        let parts: Vec<String> = shown.fields().map(|(name, value)| format!("{}:{value:?}", go_name(name))).collect();
        parts.join(" ")
    }
}

/// The name of a target field as clients know it from error messages.
fn go_name(field: &str) -> &'static str {
    match field {
        "user" => "User",
        "role" => "Role",
        "login" => "Login",
        "node" => "Node",
        "mfa_device" => "MFADevice",
        "windows_desktop" => "WindowsDesktop",
        "access_request" => "AccessRequest",
        "device" => "Device",
        "server_id" => "ServerID",
        "bot_instance_id" => "BotInstanceID",
        _ => "JoinToken",
    }
}

impl Lock {
    /// Whether the lock is in force: it has no end, or one that is still to come.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.spec.expires.is_none_or(|expires| expires > now)
    }

    /// What a caller who is hit reads.
    #[must_use]
    pub fn refusal(&self) -> String {
        let target = self.spec.target.describe();
        match self.spec.message.as_str() {
            "" => format!("lock targeting {target} is in force"),
            message => format!("lock targeting {target} is in force: {message}"),
        }
    }

    fn fill(&mut self) {}

    fn check(&self) -> Result<(), Error> {
        if self.spec.target.is_empty() {
            return Err(Error::invalid("spec.target: at least one field must be set, for example user: alice"));
        }
        for (field, value) in self.spec.target.fields() {
            crate::names::PRINCIPAL.check(&format!("spec.target.{field}"), value)?;
        }
        crate::names::TEXT.check("spec.message", &self.spec.message)
    }
}
