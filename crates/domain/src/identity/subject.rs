//! An identity as an X.509 subject.

use std::collections::BTreeMap;

use super::{Identity, UserType, oid};
use crate::{Error, form::time, role::SystemRole};

/// A principal that begins so marks the certificate and is no login.
use super::ssh::is_marker;

/// Attributes in the order in which they are written; a repeated attribute is a list.
struct Writer(Vec<(&'static str, String)>);

impl Writer {
    fn one(&mut self, oid: &'static str, value: &str) {
        if !value.is_empty() {
            self.0.push((oid, value.to_owned()));
        }
    }

    fn many<S: AsRef<str>>(&mut self, oid: &'static str, values: &[S]) {
        for value in values {
            self.one(oid, value.as_ref());
        }
    }

    fn mark(&mut self, oid: &'static str, set: bool) {
        self.one(oid, if set { "true" } else { "" });
    }
}

impl Identity {
    /// The attributes of the subject, in order: the standard ones, then our own. Repeated attributes are lists; the issuer
    /// decides how they are grouped.
    #[must_use]
    pub fn to_subject(&self) -> Vec<(&'static str, String)> {
        let mut out = Writer(Vec::new());
        out.many(oid::ORGANIZATION, &self.roles);
        out.many(oid::ORGANIZATIONAL_UNIT, &self.usage);
        out.many(oid::LOCALITY, &self.principals);
        out.one(oid::STREET, &self.route_to_cluster);
        if !self.traits.is_empty() {
            out.one(oid::POSTAL_CODE, &serde_json::json!(self.traits).to_string());
        }
        out.one(oid::COMMON_NAME, &self.username);
        self.write_routes(&mut out);
        self.write_session(&mut out);
        out.0
    }

    fn write_routes(&self, out: &mut Writer) {
        out.many(oid::SYSTEM_ROLES, &self.system_roles.iter().map(|role| role.as_str()).collect::<Vec<_>>());
        out.many(oid::KUBERNETES_USERS, &self.kubernetes_users);
        out.many(oid::KUBERNETES_GROUPS, &self.kubernetes_groups);
        out.one(oid::KUBERNETES_CLUSTER, &self.kubernetes_cluster);
        let app = &self.route_to_app;
        out.one(oid::APP_SESSION_ID, &app.session_id);
        out.one(oid::APP_CLUSTER, &app.cluster_name);
        out.one(oid::APP_PUBLIC_ADDR, &app.public_addr);
        out.one(oid::APP_NAME, &app.name);
        out.one(oid::APP_AWS_ROLE, &app.aws_role_arn);
        out.many(oid::AWS_ROLE_ARNS, &self.aws_role_arns);
        out.one(oid::APP_AZURE_IDENTITY, &app.azure_identity);
        out.many(oid::AZURE_IDENTITIES, &self.azure_identities);
        out.one(oid::APP_GCP_ACCOUNT, &app.gcp_service_account);
        out.many(oid::GCP_ACCOUNTS, &self.gcp_service_accounts);
        let database = &self.route_to_database;
        out.one(oid::DATABASE_SERVICE, &database.service_name);
        out.one(oid::DATABASE_PROTOCOL, &database.protocol);
        out.one(oid::DATABASE_USER, &database.username);
        out.one(oid::DATABASE_NAME, &database.database);
        out.many(oid::DATABASE_NAMES, &self.database_names);
        out.many(oid::DATABASE_USERS, &self.database_users);
        out.many(oid::REQUESTED_DATABASE_ROLES, &database.roles);
    }

    fn write_session(&self, out: &mut Writer) {
        out.one(oid::TELEPORT_CLUSTER, &self.teleport_cluster);
        out.one(oid::MFA_VERIFIED, &self.mfa_verified);
        if let Some(expires) = self.previous_identity_expires {
            out.one(oid::PREVIOUS_IDENTITY_EXPIRES, &expires.to_string());
        }
        out.one(oid::LOGIN_IP, &self.login_ip);
        out.one(oid::PINNED_IP, &self.pinned_ip);
        out.mark(oid::RENEWABLE, self.renewable);
        if self.generation > 0 {
            out.one(oid::GENERATION, &self.generation.to_string());
        }
        out.one(oid::PRIVATE_KEY_POLICY, &self.private_key_policy);
        out.one(oid::USER_TYPE, self.user_type.as_str());
        out.one(oid::IMPERSONATOR, &self.impersonator);
        out.many(oid::ACTIVE_REQUESTS, &self.active_requests);
        out.mark(oid::DISALLOW_REISSUE, self.disallow_reissue);
        out.one(oid::ALLOWED_RESOURCES, &self.allowed_resource_ids);
        out.one(oid::CONNECTION_DIAGNOSTIC_ID, &self.connection_diagnostic_id);
        out.one(oid::BOT_NAME, &self.bot_name);
        out.one(oid::BOT_INSTANCE_ID, &self.bot_instance_id);
        if let Some(attributes) = &self.join_attributes {
            out.one(oid::JOIN_ATTRIBUTES, &serde_json::json!(attributes).to_string());
        }
        out.one(oid::JOIN_TOKEN_HASH, &self.join_token_hash);
        out.one(oid::DEVICE_ID, &self.device_id);
        out.one(oid::DEVICE_ASSET_TAG, &self.device_asset_tag);
        out.one(oid::DEVICE_CREDENTIAL_ID, &self.device_credential_id);
    }

    /// Reads a subject. Attributes that are not known are skipped; `expires` is left for the caller, who has the certificate.
    ///
    /// # Errors
    /// When an attribute that is known has a value that it cannot have: a certificate of ours never does.
    pub fn from_subject(attributes: &[(String, String)]) -> Result<Self, Error> {
        let mut by_oid: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (oid, value) in attributes.iter().filter(|(oid, _)| oid::KNOWN.contains(&oid.as_str())) {
            by_oid.entry(oid).or_default().push(value);
        }
        let read = Reader(by_oid);
        let mut identity = Self {
            username: read.one(oid::COMMON_NAME),
            roles: read.many(oid::ORGANIZATION),
            usage: read.many(oid::ORGANIZATIONAL_UNIT),
            principals: read.many(oid::LOCALITY).into_iter().filter(|name| !is_marker(name)).collect(),
            route_to_cluster: read.one(oid::STREET),
            traits: read.json(oid::POSTAL_CODE, "traits")?.unwrap_or_default(),
            teleport_cluster: read.one(oid::TELEPORT_CLUSTER),
            ..Self::default()
        };
        identity.read_routes(&read)?;
        identity.read_session(&read)?;
        Ok(identity)
    }

    fn read_routes(&mut self, read: &Reader<'_>) -> Result<(), Error> {
        let unknown = |word: &String| Error::invalid(format!("the certificate has the unknown system role {word:?}"));
        let words = read.many(oid::SYSTEM_ROLES);
        self.system_roles =
            words.iter().map(|word| SystemRole::parse(word).ok_or_else(|| unknown(word))).collect::<Result<_, _>>()?;
        self.kubernetes_users = read.many(oid::KUBERNETES_USERS);
        self.kubernetes_groups = read.many(oid::KUBERNETES_GROUPS);
        self.kubernetes_cluster = read.one(oid::KUBERNETES_CLUSTER);
        let app = &mut self.route_to_app;
        app.session_id = read.one(oid::APP_SESSION_ID);
        app.cluster_name = read.one(oid::APP_CLUSTER);
        app.public_addr = read.one(oid::APP_PUBLIC_ADDR);
        app.name = read.one(oid::APP_NAME);
        app.aws_role_arn = read.one(oid::APP_AWS_ROLE);
        app.azure_identity = read.one(oid::APP_AZURE_IDENTITY);
        app.gcp_service_account = read.one(oid::APP_GCP_ACCOUNT);
        self.aws_role_arns = read.many(oid::AWS_ROLE_ARNS);
        self.azure_identities = read.many(oid::AZURE_IDENTITIES);
        self.gcp_service_accounts = read.many(oid::GCP_ACCOUNTS);
        let database = &mut self.route_to_database;
        database.service_name = read.one(oid::DATABASE_SERVICE);
        database.protocol = read.one(oid::DATABASE_PROTOCOL);
        database.username = read.one(oid::DATABASE_USER);
        database.database = read.one(oid::DATABASE_NAME);
        database.roles = read.many(oid::REQUESTED_DATABASE_ROLES);
        self.database_names = read.many(oid::DATABASE_NAMES);
        self.database_users = read.many(oid::DATABASE_USERS);
        Ok(())
    }

    fn read_session(&mut self, read: &Reader<'_>) -> Result<(), Error> {
        self.mfa_verified = read.one(oid::MFA_VERIFIED);
        self.previous_identity_expires = time::parse(&read.one(oid::PREVIOUS_IDENTITY_EXPIRES))
            .map_err(|why| Error::invalid(format!("the certificate's previous identity expiry {why}")))?;
        self.login_ip = read.one(oid::LOGIN_IP);
        self.pinned_ip = read.one(oid::PINNED_IP);
        self.renewable = read.one(oid::RENEWABLE) == "true";
        self.generation = match read.one(oid::GENERATION).as_str() {
            "" => 0,
            digits => digits
                .parse()
                .map_err(|_| Error::invalid(format!("the certificate's generation {digits:?} is no number")))?,
        };
        self.private_key_policy = read.one(oid::PRIVATE_KEY_POLICY);
        self.user_type = UserType::parse(&read.one(oid::USER_TYPE));
        self.impersonator = read.one(oid::IMPERSONATOR);
        self.active_requests = read.many(oid::ACTIVE_REQUESTS);
        self.disallow_reissue = read.one(oid::DISALLOW_REISSUE) == "true";
        self.allowed_resource_ids = read.one(oid::ALLOWED_RESOURCES);
        self.connection_diagnostic_id = read.one(oid::CONNECTION_DIAGNOSTIC_ID);
        self.bot_name = read.one(oid::BOT_NAME);
        self.bot_instance_id = read.one(oid::BOT_INSTANCE_ID);
        self.join_attributes = read.json(oid::JOIN_ATTRIBUTES, "join attributes")?;
        self.join_token_hash = read.one(oid::JOIN_TOKEN_HASH);
        self.device_id = read.one(oid::DEVICE_ID);
        self.device_asset_tag = read.one(oid::DEVICE_ASSET_TAG);
        self.device_credential_id = read.one(oid::DEVICE_CREDENTIAL_ID);
        Ok(())
    }
}

/// The values of each attribute.
struct Reader<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl Reader<'_> {
    fn one(&self, oid: &str) -> String {
        self.0.get(oid).and_then(|values| values.first()).map_or_else(String::new, |value| (*value).to_owned())
    }

    fn many(&self, oid: &str) -> Vec<String> {
        self.0.get(oid).map_or_else(Vec::new, |values| values.iter().map(|value| (*value).to_owned()).collect())
    }

    fn json<T: serde::de::DeserializeOwned>(&self, oid: &str, what: &str) -> Result<Option<T>, Error> {
        match self.one(oid).as_str() {
            "" => Ok(None),
            text => serde_json::from_str(text)
                .map(Some)
                .map_err(|_| Error::invalid(format!("the certificate's {what} cannot be read"))),
        }
    }
}
