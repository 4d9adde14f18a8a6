//! Fields of a bot.

use audit::events::bot::BotUpdate;
use domain::{Error, Resource as _, resources::Bot};
use rbac::Verb;
use store::{Change, settle};

use super::derived::{Derived, give_roles};
use crate::{Auth, Caller, Operation, guard::Guard};

/// A field that an update may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The roles that the bot may become.
    Roles,
    /// The traits of its user.
    Traits,
    /// The longest life of its certificates.
    MaxSessionTtl,
    /// What people read about it.
    Description,
}

impl Field {
    /// Every field, with its path in an update mask.
    pub const ALL: [(&'static str, Self); 4] = [
        ("spec.roles", Self::Roles),
        ("spec.traits", Self::Traits),
        ("spec.max_session_ttl", Self::MaxSessionTtl),
        ("metadata.description", Self::Description),
    ];

    /// Reads a path of an update mask.
    pub fn parse(path: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == path).map(|(_, field)| *field)
    }

    fn take(self, from: &Bot, to: &mut Bot) {
        match self {
            Self::Roles => to.spec.roles.clone_from(&from.spec.roles),
            Self::Traits => to.spec.traits.clone_from(&from.spec.traits),
            Self::MaxSessionTtl => to.spec.max_session_ttl = from.spec.max_session_ttl,
            Self::Description => to.metadata.description.clone_from(&from.metadata.description),
        }
    }
}

/// Takes over these fields of `wanted`; the bot's user and role follow in the same commit. Certificates that the bot has
/// keep what they say until it renews.
///
/// # Errors
/// Denied, not found (also for a role); invalid without a field; conflict when `wanted` carries another revision than the
/// stored one.
pub async fn update(auth: &Auth, caller: &Caller, wanted: &Bot, fields: &[Field]) -> Result<Bot, Error> {
    let guard = Guard::new(auth, caller, Operation::UpdateBot);
    settle(|| attempt(&guard, wanted, fields)).await
}

async fn attempt(guard: &Guard<'_>, wanted: &Bot, fields: &[Field]) -> Result<Bot, Error> {
    let mut change = guard.auth.store.change();
    let old: Bot = guard.fetch_for(&mut change, "", wanted.name(), &[Verb::Update]).await?;
    if fields.is_empty() {
        return Err(Error::invalid("update_mask: must name at least one field to change"));
    }
    let (asked, stored) = (&wanted.metadata.revision, &old.metadata.revision);
    if !asked.is_empty() && asked != stored {
        return Err(Error::conflict(format!(
            "bot {:?} was changed by somebody else meanwhile: read it again",
            old.name()
        )));
    }
    let mut new = old;
    for field in fields {
        field.take(wanted, &mut new);
    }
    replace(guard, change, new).await
}

/// Replaces a bot at the revision that it carries, with its user and role.
pub(super) async fn replace(guard: &Guard<'_>, mut change: Change, mut new: Bot) -> Result<Bot, Error> {
    new.set_defaults();
    guard.check(&new)?;
    guard.on(&new, &[Verb::Update])?;
    let derived = Derived::read(&mut change, &new).await?;
    let change = give_roles(guard.auth, change.update(&new)?, &new).await?;
    let event = BotUpdate {
        resource: guard.resource(&new),
        user: guard.caller.user_metadata(),
        connection: guard.caller.connection(),
    };
    let receipt = derived.put(change, &new, guard)?.event(&event).commit().await?;
    Ok(receipt.stamp(new))
}
