//! One string in place of several flags: `tbot+<auth|proxy>+<method>://<token>:<secret>@<host>:<port>`.

use crypto::SecretString;

use super::{Config, onboarding::check_method};

/// Puts what the URI says into the configuration; a value that is said twice and differently is refused.
pub(crate) fn apply(config: &mut Config) -> Result<(), String> {
    let Some(uri) = config.join_uri.clone() else { return Ok(()) };
    let parts = parse(uri.expose())?;
    let conflict = |what: &str| Err(format!("the join URI and {what} disagree; keep one of them"));
    let slot = if parts.is_proxy { &mut config.proxy_server } else { &mut config.auth_server };
    if slot.as_ref().is_some_and(|address| *address != parts.address) {
        return conflict(if parts.is_proxy { "proxy_server" } else { "auth_server" });
    }
    *slot = Some(parts.address);
    let onboarding = &mut config.onboarding;
    if onboarding.join_method.as_ref().is_some_and(|method| *method != parts.method) {
        return conflict("onboarding.join_method");
    }
    if onboarding.token.as_ref().is_some_and(|token| *token.expose() != parts.token) {
        return conflict("onboarding.token");
    }
    onboarding.token = Some(SecretString::new(parts.token));
    if let (Some(secret), "bound_keypair") = (parts.parameter, parts.method.as_str()) {
        let block = onboarding.methods.entry("bound_keypair").or_insert_with(|| serde_json::json!({}));
        block["registration_secret"] = secret.into();
    }
    onboarding.join_method = Some(parts.method);
    Ok(())
}

struct Parts {
    is_proxy: bool,
    method: String,
    token: String,
    parameter: Option<String>,
    address: String,
}

fn parse(uri: &str) -> Result<Parts, String> {
    let form = "write tbot+<auth|proxy>+<join method>://<token>@<host>:<port>";
    let refuse = |what: &str| format!("the join URI {what}; {form}");
    let (scheme, rest) = uri.split_once("://").ok_or_else(|| refuse("has no scheme"))?;
    let mut words = scheme.splitn(3, '+');
    let (Some("tbot"), Some(end), Some(method)) = (words.next(), words.next(), words.next()) else {
        return Err(refuse("has another scheme"));
    };
    let is_proxy = match end {
        "auth" => false,
        "proxy" => true,
        _ => return Err(refuse("names neither auth nor proxy")),
    };
    let method = method.replace('-', "_");
    check_method(&method)?;
    let (user, address) = rest.rsplit_once('@').ok_or_else(|| refuse("has no token"))?;
    let (token, parameter) = match user.split_once(':') {
        Some((token, parameter)) => (token, Some(decode(parameter)?)),
        None => (user, None),
    };
    let address = address.split(['/', '?']).next().unwrap_or(address);
    if token.is_empty() || address.is_empty() {
        return Err(refuse("has no token or no address"));
    }
    Ok(Parts { is_proxy, method, token: decode(token)?, parameter, address: address.to_owned() })
}

/// Undoes percent encoding.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let byte = match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                digits.ok_or("the join URI has a broken % escape")?
            }
            (b'%', _) => return Err("the join URI has a broken % escape".into()),
            (byte, _) => *byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).map_err(|_| "the join URI is not UTF-8".into())
}
