//! Join tokens: who may join, and with which proof.

mod create;
mod delete;
mod get;
mod list;
mod upsert;

use audit::{
    ResourceMetadata,
    events::token::{ProvisionTokenCreate, ProvisionTokenUpdate},
};
use domain::{
    Error,
    form::SecretText,
    resources::{
        Token,
        token::{BoundKeypairStatus, JoinMethod, TokenStatus},
    },
};
use store::Change;

pub use create::create;
pub use delete::{delete, delete_static};
pub use get::get;
pub use list::{Filter, list};
pub use upsert::upsert;

use crate::guard::{Guard, Written};

/// Random bytes of a registration secret: it is all that stands between a stranger and the first join.
const SECRET_BYTES: usize = 32;

impl Written for Token {
    /// The status is the server's alone: what came with the request is dropped, what is stored stays.
    fn settle(&mut self, old: Option<&Self>, guard: &Guard<'_>) -> Result<(), Error> {
        let kept = old.filter(|old| old.spec.join_method == self.spec.join_method);
        self.status = kept.map(|old| old.status.clone()).unwrap_or_default();
        if self.spec.join_method == JoinMethod::BoundKeypair && self.status.bound_keypair.is_none() {
            self.status = TokenStatus { bound_keypair: Some(first_status(self, guard)) };
        }
        Ok(())
    }

    fn record(&self, change: Change, old: Option<&Self>, guard: &Guard<'_>) -> Change {
        let (user, connection) = (guard.caller.user_metadata(), guard.caller.connection());
        let resource = masked(self, guard);
        let roles = self.spec.roles.iter().map(|role| role.as_str().to_owned()).collect();
        let (join_method, token_bot_name) = (self.spec.join_method.as_str().to_owned(), self.spec.bot_name.clone());
        match old {
            None => {
                change.event(&ProvisionTokenCreate { resource, user, connection, roles, join_method, token_bot_name })
            }
            Some(_) => {
                change.event(&ProvisionTokenUpdate { resource, user, connection, roles, join_method, token_bot_name })
            }
        }
    }
}

/// A key that is not known in advance registers with a secret: the one that was asked for, else one of ours.
fn first_status(token: &Token, guard: &Guard<'_>) -> BoundKeypairStatus {
    let onboarding = token.spec.bound_keypair.as_ref().and_then(|spec| spec.onboarding.clone()).unwrap_or_default();
    let registration_secret = if !onboarding.initial_public_key.is_empty() {
        SecretText::default()
    } else if onboarding.registration_secret.expose().is_empty() {
        SecretText::new(guard.auth.random.hex(SECRET_BYTES))
    } else {
        onboarding.registration_secret
    };
    BoundKeypairStatus { registration_secret, ..BoundKeypairStatus::default() }
}

/// What an audit event says about a token; never a name that is a secret.
fn masked(token: &Token, guard: &Guard<'_>) -> ResourceMetadata {
    ResourceMetadata { name: token.safe_name(), ..guard.resource(token) }
}
