//! The machine's half of a method.

use async_trait::async_trait;
use crypto::SecretString;
use domain::Error;

use crate::Proof;

/// What a proof is made from. A method that looks at files, the environment or a metadata service is handed a port for it
/// here: nothing else of the machine is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The name of the token that was configured.
    pub token: &'a SecretString,
}

/// Makes the proof of one method.
#[async_trait]
pub trait Prover: Send + Sync {
    /// The proof, made anew for each attempt.
    ///
    /// # Errors
    /// What is missing on this machine, in words for the person who runs it.
    async fn prove(&self, asked: Asked<'_>) -> Result<Proof, Error>;
}
