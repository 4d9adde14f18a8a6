//! `bot` v1: a machine identity, and the user and role that belong to it.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    Error, Kind, Metadata,
    form::duration,
    metadata,
    resources::{
        Role, User, resource,
        role::{ImpersonateConditions, RoleConditions, RoleOptions, RoleSpec, Rule},
        user::UserSpec,
    },
};

/// The longest session of a bot that asks for nothing else.
pub const DEFAULT_MAX_SESSION_TTL: Duration = Duration::from_secs(12 * 3600);

/// The longest life that a bot's certificate may be given. The store remembers each instance for as long, and a stolen
/// certificate is good for as long.
pub const LONGEST_SESSION_TTL: Duration = Duration::from_secs(168 * 3600);

resource!(
    /// A bot.
    Bot(Bot), "v1" of ["v1"], BotSpec, status #[serde(skip_serializing_if = "crate::form::is_default")] BotStatus
);

document! {
    /// What a bot may become.
    pub struct BotSpec {
        /// The roles that it may impersonate.
        roles: Vec<String>,
        traits: Vec<Trait>,
        /// Upper bound for its certificates; absent means [`DEFAULT_MAX_SESSION_TTL`].
        #[serde(with = "duration::seconds")]
        max_session_ttl: Option<Duration>,
    }
}

document! {
    /// A trait with its values.
    pub struct Trait {
        name: String,
        values: Vec<String>,
    }
}

document! {
    /// The names of the objects that belong to a bot.
    pub struct BotStatus {
        user_name: String,
        role_name: String,
    }
}

impl Bot {
    /// The name of a bot's user and role.
    #[must_use]
    pub fn resource_name(bot_name: &str) -> String {
        format!("bot-{}", bot_name.replace(' ', "-"))
    }

    /// The user that belongs to the bot.
    #[must_use]
    pub fn derived_user(&self) -> User {
        let name = Self::resource_name(&self.metadata.name);
        let mut user = User::new(name.clone(), UserSpec::default());
        user.metadata = self.derived_metadata(name.clone());
        user.metadata.labels.insert(metadata::BOT_GENERATION.to_owned(), "0".to_owned());
        user.spec.roles = vec![name];
        user.spec.expires = self.metadata.expires;
        for entry in &self.spec.traits {
            let values: &mut Vec<String> = user.spec.traits.entry(entry.name.clone()).or_default();
            values.extend(entry.values.iter().filter(|value| !value.is_empty()).cloned());
        }
        user
    }

    /// The role that belongs to the bot: it may read the authorities and become its roles, nothing else.
    #[must_use]
    pub fn derived_role(&self) -> Role {
        let name = Self::resource_name(&self.metadata.name);
        let spec = RoleSpec {
            options: RoleOptions {
                max_session_ttl: self.spec.max_session_ttl.unwrap_or(DEFAULT_MAX_SESSION_TTL),
                ..RoleOptions::default()
            },
            allow: RoleConditions {
                rules: vec![Rule::new([Kind::CertAuthority.as_str()], ["readnosecrets"])],
                impersonate: Some(ImpersonateConditions { roles: self.spec.roles.clone(), ..Default::default() }),
                ..RoleConditions::default()
            },
            deny: RoleConditions::default(),
        };
        let mut role = Role { version: "v6".to_owned(), ..Role::new(name.clone(), spec) };
        role.metadata = self.derived_metadata(name);
        crate::Resource::set_defaults(&mut role);
        role
    }

    fn derived_metadata(&self, name: String) -> Metadata {
        Metadata {
            description: format!("Automatically generated for bot {}", self.metadata.name),
            labels: BTreeMap::from([(metadata::BOT.to_owned(), self.metadata.name.clone())]),
            expires: self.metadata.expires,
            ..Metadata::named(name)
        }
    }

    fn fill(&mut self) {
        let name = Self::resource_name(&self.metadata.name);
        self.status = BotStatus { user_name: name.clone(), role_name: name };
    }

    fn check(&self) -> Result<(), Error> {
        if self.spec.roles.iter().any(String::is_empty) {
            return Err(Error::invalid("spec.roles: a role name must not be empty"));
        }
        // The derived role impersonates by pattern; a pattern here would give the bot roles that nobody named.
        if let Some(pattern) =
            self.spec.roles.iter().find(|role| role.starts_with('^') || role.contains(['*', '{', '}']))
        {
            return Err(Error::invalid(format!(
                "spec.roles: {pattern:?} is a pattern; a bot gets roles by their names"
            )));
        }
        for entry in &self.spec.traits {
            crate::names::TRAIT.check("spec.traits: the name of a trait", &entry.name)?;
        }
        if self.spec.max_session_ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(Error::invalid("spec.max_session_ttl: must be longer than 0s, or left out for 12h"));
        }
        if self.spec.max_session_ttl.is_some_and(|ttl| ttl > LONGEST_SESSION_TTL) {
            return Err(Error::invalid("spec.max_session_ttl: may be 168h (7 days) at most"));
        }
        Ok(())
    }
}
