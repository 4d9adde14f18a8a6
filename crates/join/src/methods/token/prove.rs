//! The name is all there is to show.

use async_trait::async_trait;
use domain::Error;

use crate::{Asked, Proof, Prover};

pub(crate) struct Half;

#[async_trait]
impl Prover for Half {
    async fn prove(&self, asked: Asked<'_>) -> Result<Proof, Error> {
        Ok(Proof::Token(asked.token.clone()))
    }
}
