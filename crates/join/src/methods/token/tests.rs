use crypto::SecretString;
use domain::resources::{Token, token::JoinMethod};

use crate::{Asked, prover, verifier};

#[tokio::test]
async fn what_one_half_proves_the_other_takes_and_nothing_else() {
    let mut token = Token::new("a-long-secret", Default::default());
    let (prover, verifier) = (prover(JoinMethod::Token).unwrap(), verifier(JoinMethod::Token).unwrap());
    let proof = prover.prove(Asked { token: &SecretString::from("a-long-secret") }).await.unwrap();
    let attested = verifier.verify(&token, &proof).await.unwrap();
    assert_eq!(attested.method(), JoinMethod::Token);
    assert_eq!(attested.attributes().meta.as_ref().unwrap().join_method, "token");
    for other in ["", "a-long-secre", "a-long-secret ", "A-long-secret"] {
        token.metadata.name = other.to_owned();
        assert!(verifier.verify(&token, &proof).await.is_err(), "{other:?}");
    }
}
