//! Tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crypto::Algorithm;
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
        let header: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
        let key = json!(crypto::jwk::Jwk::of(&trusted[0]));
        assert_eq!((&header["kid"], &header["alg"]), (&key["kid"], &key["alg"]), "as the key set names it");
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
fn a_public_key_is_written_as_a_jwk() {
    let [rsa, ec, ed] = [Algorithm::Rsa2048, Algorithm::EcdsaP256, Algorithm::Ed25519]
        .map(|algorithm| json!(crypto::jwk::Jwk::of(&super::subject_key(algorithm))));
    let kinds: Vec<_> = [&rsa, &ec, &ed].map(|jwk| (&jwk["kty"], &jwk["crv"], &jwk["alg"], &jwk["use"])).into();
    let expected =
        json!([["RSA", null, "RS256", "sig"], ["EC", "P-256", "ES256", "sig"], ["OKP", "Ed25519", "EdDSA", "sig"]]);
    assert_eq!(json!(kinds), expected);
    assert_eq!(rsa["e"], "AQAB");
    for part in [&ec["x"], &ec["y"], &ed["x"], &rsa["kid"]] {
        assert_eq!(part.as_str().map(str::len), Some(43), "{part}");
    }
    assert!(ed.get("y").is_none() && ec.get("n").is_none());
}
