//! Whoever knows the name may join.

use async_trait::async_trait;
use crypto::constant_time_eq;
use domain::resources::{Token, token::JoinMethod};

use crate::{Attested, Proof, Refusal, Verifier};

pub(crate) struct Half;

#[async_trait]
impl Verifier for Half {
    async fn verify(&self, token: &Token, proof: &Proof) -> Result<Attested, Refusal> {
        let Proof::Token(name) = proof;
        // Storage has compared the names already, in a time that depends on them; a guess gains nothing by this one.
        if !constant_time_eq(token.metadata.name.as_bytes(), name.expose().as_bytes()) {
            return Err(Refusal("the token has another name"));
        }
        Ok(Attested::by(JoinMethod::Token))
    }
}
