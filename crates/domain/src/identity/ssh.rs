//! An identity as the extensions of an SSH certificate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Identity;
use crate::{Error, form::time};

/// A principal that every user certificate carries: with it, joining somebody's session needs no login.
pub const INTERNAL_JOIN_PRINCIPAL: &str = "-teleport-internal-join";

/// The principal of a certificate without logins begins so. A certificate without any principal would be good for every
/// login in OpenSSH; one that begins with a dash is good for none, since no user can be called so.
pub const NOLOGIN_PRINCIPAL_PREFIX: &str = "-teleport-nologin-";

/// Whether a principal only marks the certificate.
pub(super) fn is_marker(principal: &str) -> bool {
    principal == INTERNAL_JOIN_PRINCIPAL || principal.starts_with(NOLOGIN_PRINCIPAL_PREFIX)
}

/// The principals of a user certificate with these logins. `unique` makes the name that stands for no login.
#[must_use]
pub fn ssh_principals(logins: &[String], unique: uuid::Uuid) -> Vec<String> {
    let mut principals: Vec<String> =
        logins.iter().filter(|login| !login.is_empty() && !is_marker(login)).cloned().collect();
    if principals.is_empty() {
        principals.push(format!("{NOLOGIN_PRINCIPAL_PREFIX}{unique}"));
    }
    principals.push(INTERNAL_JOIN_PRINCIPAL.to_owned());
    principals
}

/// The value of `teleport-roles`.
#[derive(Serialize, Deserialize)]
struct Roles {
    version: String,
    #[serde(default)]
    roles: Vec<String>,
}

/// The value of `teleport-active-requests`.
#[derive(Serialize, Deserialize)]
struct Requests {
    #[serde(default)]
    access_requests: Vec<String>,
}

impl Identity {
    /// The critical options: the only address, when there is one.
    #[must_use]
    pub fn ssh_critical_options(&self) -> BTreeMap<String, String> {
        let mut options = BTreeMap::new();
        if !self.pinned_ip.is_empty() {
            options.insert("source-address".to_owned(), self.pinned_ip.clone());
        }
        options
    }

    /// The extensions of a user certificate, ordered by name as OpenSSH demands.
    #[must_use]
    pub fn ssh_extensions(&self) -> BTreeMap<String, String> {
        let mut out = BTreeMap::from([("permit-pty".to_owned(), String::new())]);
        let mut set = |name: &str, value: String| {
            if !value.is_empty() {
                out.insert(name.to_owned(), value);
            }
        };
        set("teleport-roles", serde_json::json!(Roles { version: "v1".into(), roles: self.roles.clone() }).to_string());
        if !self.traits.is_empty() {
            set("teleport-traits", serde_json::json!(self.traits).to_string());
        }
        set("teleport-route-to-cluster", self.route_to_cluster.clone());
        if !self.active_requests.is_empty() {
            set(
                "teleport-active-requests",
                serde_json::json!(Requests { access_requests: self.active_requests.clone() }).to_string(),
            );
        }
        set("mfa-verified", self.mfa_verified.clone());
        set("prev-identity-expires", self.previous_identity_expires.map_or_else(String::new, |time| time.to_string()));
        set("login-ip", self.login_ip.clone());
        set("impersonator", self.impersonator.clone());
        set("teleport-allowed-resources", self.allowed_resource_ids.clone());
        set("teleport-connection-diagnostic-id", self.connection_diagnostic_id.clone());
        set("private-key-policy", self.private_key_policy.clone());
        set("teleport-device-id", self.device_id.clone());
        set("teleport-device-asset-tag", self.device_asset_tag.clone());
        set("teleport-device-credential-id", self.device_credential_id.clone());
        set("bot-name@goteleport.com", self.bot_name.clone());
        set("bot-instance-id@goteleport.com", self.bot_instance_id.clone());
        set("generation", if self.generation > 0 { self.generation.to_string() } else { String::new() });
        self.ssh_flags(&mut out);
        // What a role adds comes last and never replaces what the product says.
        for (name, value) in &self.cert_extensions {
            out.entry(name.clone()).or_insert_with(|| value.clone());
        }
        out
    }

    fn ssh_flags(&self, out: &mut BTreeMap<String, String>) {
        let flags = [
            ("permit-X11-forwarding", self.ssh_permits.x11_forwarding, ""),
            ("permit-agent-forwarding", self.ssh_permits.agent_forwarding, ""),
            ("permit-port-forwarding", self.ssh_permits.port_forwarding, ""),
            ("disallow-reissue", self.disallow_reissue, "true"),
            ("renewable", self.renewable, "true"),
        ];
        for (name, _, value) in flags.into_iter().filter(|(_, set, _)| *set) {
            out.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The extensions of a host certificate.
    #[must_use]
    pub fn ssh_host_extensions(&self) -> BTreeMap<String, String> {
        let role = self.roles.first().cloned().unwrap_or_default();
        BTreeMap::from([
            ("x-teleport-role".to_owned(), role),
            ("x-teleport-authority".to_owned(), self.teleport_cluster.clone()),
        ])
    }

    /// Reads a user certificate: its key id, principals, critical options and extensions.
    ///
    /// # Errors
    /// When an extension that is known has a value that it cannot have.
    pub fn from_ssh(
        key_id: &str,
        principals: &[String],
        critical_options: &BTreeMap<String, String>,
        extensions: &BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let text = |name: &str| extensions.get(name).cloned().unwrap_or_default();
        let refuse = |name: &str| Error::invalid(format!("the certificate's extension {name} cannot be read"));
        let mut identity = Self {
            username: key_id.to_owned(),
            principals: principals.iter().filter(|name| !is_marker(name)).cloned().collect(),
            pinned_ip: critical_options.get("source-address").cloned().unwrap_or_default(),
            route_to_cluster: text("teleport-route-to-cluster"),
            mfa_verified: text("mfa-verified"),
            login_ip: text("login-ip"),
            impersonator: text("impersonator"),
            allowed_resource_ids: text("teleport-allowed-resources"),
            connection_diagnostic_id: text("teleport-connection-diagnostic-id"),
            private_key_policy: text("private-key-policy"),
            device_id: text("teleport-device-id"),
            device_asset_tag: text("teleport-device-asset-tag"),
            device_credential_id: text("teleport-device-credential-id"),
            bot_name: text("bot-name@goteleport.com"),
            bot_instance_id: text("bot-instance-id@goteleport.com"),
            disallow_reissue: extensions.contains_key("disallow-reissue"),
            renewable: extensions.contains_key("renewable"),
            ..Self::default()
        };
        identity.ssh_permits.x11_forwarding = extensions.contains_key("permit-X11-forwarding");
        identity.ssh_permits.agent_forwarding = extensions.contains_key("permit-agent-forwarding");
        identity.ssh_permits.port_forwarding = extensions.contains_key("permit-port-forwarding");
        if let Some(json) = extensions.get("teleport-roles") {
            identity.roles = serde_json::from_str::<Roles>(json).map_err(|_| refuse("teleport-roles"))?.roles;
        }
        if let Some(json) = extensions.get("teleport-traits") {
            identity.traits = serde_json::from_str(json).map_err(|_| refuse("teleport-traits"))?;
        }
        if let Some(json) = extensions.get("teleport-active-requests") {
            identity.active_requests =
                serde_json::from_str::<Requests>(json).map_err(|_| refuse("teleport-active-requests"))?.access_requests;
        }
        identity.previous_identity_expires =
            time::parse(&text("prev-identity-expires")).map_err(|_| refuse("prev-identity-expires"))?;
        if let Some(digits) = extensions.get("generation") {
            identity.generation = digits.parse().map_err(|_| refuse("generation"))?;
        }
        Ok(identity)
    }
}
