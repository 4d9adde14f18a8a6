//! The user and the role of a bot: made from it, changed with it, removed with it, always in the same commit.

use domain::{
    Error, Resource as _, metadata,
    resources::{Bot, Role, User},
};
use store::{Change, Keyed};

use crate::{Auth, guard::Guard, roles, users::created_by};

/// What belongs to a bot and is stored now.
pub(super) struct Derived {
    user: Option<User>,
    role: Option<Role>,
}

impl Derived {
    /// Nothing: the bot is new.
    pub(super) const fn none() -> Self {
        Self { user: None, role: None }
    }

    /// Reads what is stored under the names of the bot's user and role.
    ///
    /// # Errors
    /// Conflict when one of them belongs to somebody else.
    pub(super) async fn read(change: &mut Change, bot: &Bot) -> Result<Self, Error> {
        let name = Bot::resource_name(bot.name());
        let derived = Self { user: change.read(&name).await?, role: change.read(&name).await? };
        derived.user.as_ref().map_or(Ok(()), |user| belongs(user, bot))?;
        derived.role.as_ref().map_or(Ok(()), |role| belongs(role, bot))?;
        Ok(derived)
    }

    /// Adds the bot's user and role as the bot wants them now.
    pub(super) fn put(&self, change: Change, bot: &Bot, guard: &Guard<'_>) -> Result<Change, Error> {
        let mut user = bot.derived_user();
        user.set_defaults();
        user.spec.created_by = created_by(guard);
        if let Some(old) = &self.user {
            user.spec.created_by.clone_from(&old.spec.created_by);
            user.spec.status.clone_from(&old.spec.status);
            user.status.clone_from(&old.status);
            if let Some(generation) = old.metadata.labels.get(metadata::BOT_GENERATION) {
                user.metadata.labels.insert(metadata::BOT_GENERATION.to_owned(), generation.clone());
            }
        }
        let role = bot.derived_role();
        user.validate()?;
        role.validate()?;
        put(put(change, user, self.user.as_ref())?, role, self.role.as_ref())
    }

    /// Adds the removal of the bot's user and role.
    pub(super) fn remove(&self, mut change: Change) -> Result<Change, Error> {
        if let Some(user) = &self.user {
            change = change.delete_exactly(user)?;
        }
        if let Some(role) = &self.role {
            change = change.delete_exactly(role)?;
        }
        Ok(change)
    }
}

fn put<T: Keyed>(change: Change, mut new: T, old: Option<&T>) -> Result<Change, Error> {
    match old {
        None => change.create(&new),
        Some(old) => {
            new.metadata_mut().revision.clone_from(&old.metadata().revision);
            change.update(&new)
        }
    }
}

fn belongs<T: Keyed>(resource: &T, bot: &Bot) -> Result<(), Error> {
    if resource.metadata().label(metadata::BOT) == bot.name() {
        return Ok(());
    }
    Err(Error::conflict(format!("{} {:?} does not belong to bot {:?}", T::KIND, resource.name(), bot.name())))
}

/// Checks a bot, and adds that its roles exist when the change happens.
///
/// The names become patterns of the bot's role, so nothing may stand there that matches more than one role.
pub(super) async fn give_roles(auth: &Auth, change: Change, bot: &Bot) -> Result<Change, Error> {
    for role in &bot.spec.roles {
        if role.starts_with('^') || role.contains(['*', '{', '}']) {
            return Err(Error::invalid(format!("spec.roles: {role:?} must be the name of one role, not a pattern")));
        }
    }
    roles::given(auth, change, &bot.spec.roles).await
}
