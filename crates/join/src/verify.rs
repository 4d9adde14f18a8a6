//! The authority's half of a method.

use async_trait::async_trait;
use domain::resources::{
    Token,
    bot_instance::{JoinAttrs, JoinAttrsMeta},
    token::JoinMethod,
};

use crate::Proof;

/// What a verifier vouches for. Only a verifier makes one, so whoever holds it knows that it was proved.
#[derive(Debug, Clone, PartialEq)]
pub struct Attested {
    method: JoinMethod,
    attributes: JoinAttrs,
}

impl Attested {
    /// That a proof of this method was right. A method that learns more adds it to the attributes under its own name.
    pub(crate) fn by(method: JoinMethod) -> Self {
        let meta = JoinAttrsMeta { join_method: method.as_str().to_owned(), ..JoinAttrsMeta::default() };
        Self { method, attributes: JoinAttrs { meta: Some(meta), ..JoinAttrs::default() } }
    }

    /// The method by which it was proved.
    pub const fn method(&self) -> JoinMethod {
        self.method
    }

    /// What certificates and records say of the machine.
    pub const fn attributes(&self) -> &JoinAttrs {
        &self.attributes
    }
}

/// Why a proof was refused: words of ours for the audit log. The machine is told nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub &'static str);

/// Checks the proofs of one method.
#[async_trait]
pub trait Verifier: Send + Sync {
    /// What the proof attests under the token's rules. Whether the token is good at all, for this role and bot and still
    /// unspent, is not asked here: that holds for every method.
    ///
    /// # Errors
    /// The rule that is not met.
    async fn verify(&self, token: &Token, proof: &Proof) -> Result<Attested, Refusal>;
}
