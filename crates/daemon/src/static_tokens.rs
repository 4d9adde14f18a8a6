//! `auth_service.tokens`: join tokens that stand in the configuration file and live as long as they stand there.

use anyhow::Context;
use auth::{Auth, Presented};
use domain::{
    metadata::{ORIGIN, STATIC_TOKEN},
    resources::{
        Token,
        token::{JoinMethod, TokenSpec},
    },
    role::SystemRole,
};

use crate::config::StaticToken;

/// Makes the stored static tokens those of the file; what is there already is not written again.
///
/// # Errors
/// A token's file cannot be read, or the store fails.
pub(crate) async fn apply(auth: &Auth, tokens: &[StaticToken]) -> anyhow::Result<()> {
    let caller = auth.authenticate(&Presented::LocalAdmin, "local")?;
    let wanted = read(tokens)?;
    let stored: Vec<Token> = auth.store().all().await?;
    // A line that is taken out takes its token along.
    for old in stored.iter().filter(|old| old.metadata.labels.contains_key(STATIC_TOKEN)) {
        if !wanted.iter().any(|token| token.metadata.name == old.metadata.name) {
            auth::tokens::delete_static(auth, &caller, &old.metadata.name).await?;
        }
    }
    for token in wanted {
        let found = stored.iter().find(|old| old.metadata.name == token.metadata.name);
        if found.is_none_or(|old| old.spec.roles != token.spec.roles || !old.metadata.labels.contains_key(STATIC_TOKEN))
        {
            auth::tokens::upsert(auth, &caller, token).await.context("auth_service.tokens")?;
        }
    }
    Ok(())
}

/// The tokens of the file, their own files read.
///
/// # Errors
/// A token's file cannot be read.
pub(crate) fn read(tokens: &[StaticToken]) -> anyhow::Result<Vec<Token>> {
    tokens.iter().map(token).collect()
}

fn token(line: &StaticToken) -> anyhow::Result<Token> {
    let value = if line.value.starts_with('/') {
        let text = std::fs::read_to_string(&line.value);
        let text = text.with_context(|| format!("auth_service.tokens: {} cannot be read", line.value))?;
        text.trim().to_owned()
    } else {
        line.value.clone()
    };
    let roles = line.roles.iter().filter_map(|role| SystemRole::parse(role)).collect();
    let mut token = Token::new(value, TokenSpec { roles, join_method: JoinMethod::Token, ..TokenSpec::default() });
    for (key, value) in [(ORIGIN, "config-file"), (STATIC_TOKEN, "true")] {
        token.metadata.labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(token)
}
