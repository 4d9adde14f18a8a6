//! Tokens and key sets.

use crypto::{Algorithm, PublicKey};
use domain::ca::CaType;
use domain::suite::Suite;
use serde_json::json;

use super::World;
use crate::authority::{jwt_signer, trusted_jwt_keys};
use crate::{Error, jwt};

#[tokio::test]
async fn a_token_holds_with_its_key_type_and_claims_only() {
    let world = World::new();
    for (ca_type, suite) in
        [(CaType::Jwt, Suite::BalancedV1), (CaType::Jwt, Suite::Legacy), (CaType::Spiffe, Suite::BalancedV1)]
    {
        let ca = world.authority(ca_type, suite).await;
        let (signer, trusted) = (jwt_signer(&ca).unwrap(), trusted_jwt_keys(&ca).unwrap());
        let claims = json!({ "sub": "spiffe://td/a", "aud": ["x"], "exp": 12 });
        let token = jwt::sign(&claims, &signer, &world.keys).await.unwrap();
        assert_eq!(jwt::verify(&token, "JWT", &trusted).unwrap(), claims);
        let parts: Vec<&str> = token.split('.').collect();
        let other = jwt::sign(&json!({ "sub": "admin" }), &signer, &world.keys).await.unwrap();
        let mixed = format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]);
        let foreign = jwt_signer(&world.authority(CaType::Jwt, suite).await).unwrap();
        let foreign = jwt::sign(&claims, &foreign, &world.keys).await.unwrap();
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
        let typed = jwt::sign_with_type(&claims, "join-state", &signer, &world.keys).await.unwrap();
        let cut = format!("{}.{}", parts[0], parts[1]);
        for bad in
            [mixed, foreign, unsigned, typed, cut, format!("{token}A"), String::new(), "..".into(), "a".repeat(100_000)]
        {
            assert!(matches!(jwt::verify(&bad, "JWT", &trusted), Err(Error::Token(_))), "{bad:.200}");
        }
    }
}

#[test]
fn a_key_set_names_each_key_as_the_headers_do() {
    let keys: Vec<PublicKey> =
        [Algorithm::Rsa2048, Algorithm::EcdsaP256, Algorithm::Ed25519].map(super::subject_key).into();
    let set = jwt::jwks(&keys);
    for (jwk, key) in set["keys"].as_array().unwrap().iter().zip(&keys) {
        assert_eq!((jwk["kid"].as_str(), jwk["use"].as_str()), (Some(jwt::key_id(key).as_str()), Some("sig")));
    }
    let kinds: Vec<_> = set["keys"].as_array().unwrap().iter().map(|jwk| (&jwk["kty"], &jwk["alg"])).collect();
    assert_eq!(json!(kinds), json!([["RSA", "RS256"], ["EC", "ES256"], ["OKP", "EdDSA"]]));
    assert_eq!(set["keys"][0]["e"], "AQAB");
    assert_eq!(set["keys"][1]["x"].as_str().map(str::len), Some(43));
}
