//! Pages of join tokens.

use domain::{
    Error, metadata,
    resources::{Bot, Token},
    role::SystemRole,
};
use rbac::Verb;
use store::{ListRequest, Page};

use crate::{Auth, Caller, Operation, guard::Guard};

/// Which tokens.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Tokens that join as any of these; empty for all.
    pub roles: Vec<SystemRole>,
    /// Tokens of this bot; empty for all.
    pub bot_name: String,
    /// Only those that stand in the configuration file.
    pub only_static: bool,
}

/// A page of the tokens that the caller may read: whoever may list but not read tokens must not learn their names.
///
/// Links with which people set passwords are not among them, though upstream lists them as tokens of the role `Signup`: the
/// name of such a token is the whole link, and whoever may read join tokens could be any person who was just invited.
///
/// # Errors
/// Denied, invalid page token.
pub async fn list(
    auth: &Auth,
    caller: &Caller,
    request: ListRequest<'_>,
    filter: &Filter,
) -> Result<Page<Token>, Error> {
    let wanted = |token: &Token| {
        let has_role = filter.roles.is_empty() || token.spec.roles.iter().any(|role| filter.roles.contains(role));
        let is_for_bot = filter.bot_name.is_empty() || token.is_for_bot() && token.spec.bot_name == filter.bot_name;
        let is_wanted = !filter.only_static || token.metadata.labels.contains_key(metadata::STATIC_TOKEN);
        has_role && is_for_bot && is_wanted
    };
    Guard::new(auth, caller, Operation::ReadTokens).page(&request, &[Verb::List, Verb::Read], wanted).await
}

/// A token may be made before its bot; it is the ordinary sign of a typing error, so it is said.
pub(super) async fn warn_without_bot(auth: &Auth, token: &Token) {
    if token.is_for_bot() && matches!(auth.store.get::<Bot>(&token.spec.bot_name).await, Ok(None)) {
        tracing::warn!(
            bot = token.spec.bot_name,
            token = token.safe_name(),
            "a token was made for a bot that does not exist"
        );
    }
}
