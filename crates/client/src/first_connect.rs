//! The first connection of somebody who holds a pin, or nothing: learn the cluster's authorities before a secret is sent.
//!
//! Two connections are made. The first carries no certificate of ours and one question, `GetClusterCACert`; the answer
//! is checked against the pins. Everything secret (a join token) goes over the second, which trusts only what passed.

use api::methods;
use crypto::x509::Certificate;
use domain::{
    Error,
    error::{Kind, Reason},
};

use crate::{Client, Config, ConnectError, Credentials, Trust};

/// Asks a server for its cluster's authorities and keeps those that `config.trust` lets pass.
///
/// # Errors
/// Denied when no authority has one of the pins, unavailable when nobody answers.
pub async fn fetch_authorities(config: &Config) -> Result<Vec<Certificate>, Error> {
    match &config.trust {
        Trust::Credentials => Ok(config.credentials.authorities().to_vec()),
        Trust::Authorities(authorities) => Ok(authorities.clone()),
        Trust::DangerAnything => ask(config, Trust::DangerAnything).await,
        Trust::Pins(pins) => {
            let pins = normalise(pins)?;
            let presented = match ask(config, Trust::Pins(pins.clone())).await {
                // A server that does not show its authority in the handshake is asked for it; the pins judge the
                // answer, and nothing but this question was sent.
                Err(error) if error.kind == Kind::Denied => ask(config, Trust::DangerAnything).await?,
                answer => answer?,
            };
            let (known, others): (Vec<_>, Vec<_>) = presented.into_iter().partition(|one| pins.contains(&one.pin()));
            if known.is_empty() {
                Err(Error::denied(wrong_pin(&others)).because(Reason::UntrustedServer))
            } else {
                Ok(known)
            }
        }
    }
}

async fn ask(config: &Config, trust: Trust) -> Result<Vec<Certificate>, Error> {
    let anonymous = Config { credentials: Credentials::none(), trust, ..config.clone() };
    let answer = Client::open(anonymous)?.call::<methods::proto::auth_service::GetClusterCaCert>(()).await?;
    Certificate::many_from_pem(&String::from_utf8_lossy(&answer.tlsca))
        .map_err(|error| Error::unavailable(format!("the server's authorities cannot be read: {error}")))
}

/// Lower case and well-formed, or an error that shows what a pin looks like.
fn normalise(pins: &[String]) -> Result<Vec<String>, ConnectError> {
    let check = |pin: &String| {
        let text = pin.trim().to_ascii_lowercase();
        let digits = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
        match digits.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            true => Ok(text),
            false => Err(ConnectError::Credentials {
                reason: format!("{pin:?} is no CA pin; it looks like sha256:<64 hex digits>, see tctl status"),
            }),
        }
    };
    pins.iter().map(check).collect()
}

fn wrong_pin(presented: &[Certificate]) -> String {
    let shown = presented.iter().map(|one| one.pin()).collect::<Vec<_>>().join(", ");
    format!(
        "the server's authority has none of the configured CA pins: it shows {}. Compare with `tctl status` on the auth \
         host; if they differ there too, this is not the cluster you meant",
        if shown.is_empty() { "none" } else { &shown }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_that_is_none_is_refused_with_an_example() {
        let good = format!("SHA256:{}", "Ab".repeat(32));
        assert_eq!(normalise(&[good]).expect("a pin"), [format!("sha256:{}", "ab".repeat(32))]);
        for bad in ["", "sha256:", "abcd", &format!("sha256:{}", "g".repeat(64)), &format!("sha1:{}", "a".repeat(64))] {
            assert!(normalise(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
