//! Signed tokens (JWS compact form).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crypto::{PublicKey, Scheme, jwk::key_id};
use keystore::{KeyStore, StoredKey};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Error;

/// The longest token that is read.
const LONGEST: usize = 64 * 1024;

/// Signs these claims: `RS256`, `ES256` or `EdDSA`, as the key is.
///
/// # Errors
/// [`Error::Claims`], [`Error::KeyStore`]
pub async fn sign(
    claims: &(impl Serialize + Sync),
    signer: &StoredKey,
    key_store: &dyn KeyStore,
) -> Result<String, Error> {
    sign_with_type(claims, "JWT", signer, key_store).await
}

/// As [`sign`], with another `typ` in the header: one kind of token cannot be taken for another.
///
/// # Errors
/// As [`sign`].
pub async fn sign_with_type(
    claims: &(impl Serialize + Sync),
    typ: &str,
    signer: &StoredKey,
    key_store: &dyn KeyStore,
) -> Result<String, Error> {
    let scheme = Scheme::jwt(signer.public.algorithm());
    let header = json!({ "alg": scheme.jwt_name(), "kid": key_id(&signer.public), "typ": typ });
    let encode = |json: &[u8]| URL_SAFE_NO_PAD.encode(json);
    let text = format!("{}.{}", encode(&serde_json::to_vec(&header)?), encode(&serde_json::to_vec(claims)?));
    let signature = key_store.sign(signer, scheme, text.as_bytes()).await?;
    Ok(format!("{text}.{}", encode(&signature)))
}

/// Checks a token of ours against the trusted keys and gives its claims. Time, issuer and audience are the caller's to
/// check.
///
/// # Errors
/// [`Error::Token`]
pub fn verify(token: &str, typ: &str, trusted: &[PublicKey]) -> Result<Value, Error> {
    if token.len() > LONGEST {
        return Err(Error::Token("too long"));
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Error::Token("not three parts"))?;
    let (header, claims) = signed.split_once('.').ok_or(Error::Token("not three parts"))?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::Token("not base64url"));
    let read = |part: &str| -> Result<Value, Error> {
        serde_json::from_slice(&decode(part)?).map_err(|_| Error::Token("not JSON"))
    };
    let header = read(header)?;
    if header["typ"] != typ || header.get("crit").is_some() {
        return Err(Error::Token("a token of another type"));
    }
    let key = trusted
        .iter()
        .find(|key| header["kid"] == key_id(key))
        .ok_or(Error::Token("signed with a key that is not trusted"))?;
    // The algorithm is the key's; the header may only agree.
    let scheme = Scheme::jwt(key.algorithm());
    if header["alg"] != scheme.jwt_name() {
        return Err(Error::Token("the algorithm is not the key's"));
    }
    key.verify_with(scheme, signed.as_bytes(), &decode(signature)?).map_err(|_| Error::Token("wrong signature"))?;
    match read(claims)? {
        claims @ Value::Object(_) => Ok(claims),
        _ => Err(Error::Token("claims are not an object")),
    }
}
